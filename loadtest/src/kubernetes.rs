//! `loadtest kubernetes`: the chart is installed into the cluster that `KUBECONFIG` names, and goes through what happens to
//! installations, while clients outside the cluster send and count.
//!
//! A round is that of [`crate::break_it`]: users of its own, steady load, a [`stroke`], until all stands again, verdict.
//! [`site`] is the release, by `kubectl` and `helm` as processes ([`tools`]). What their answers mean is read by pure parts:
//! [`pods`], [`owners`], [`address`], [`hardened`]. Pushes come to this machine, if it can be reached: [`webhook`].

mod address;
mod hardened;
mod killer;
mod owners;
mod pods;
mod site;
mod stroke;
mod tools;
mod trial;
mod webhook;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{
    breaking::{BreakReport, Course, Pushes, Rounds, bar, ride, say, warm_up},
    typed::typed,
};

use site::{Image, Site};
use stroke::Stroke;
use tools::Tools;
use webhook::{Place, Webhook};

pub use trial::Trial;

/// Members who are never connected, of whom push workers have to tell.
const ABSENT: usize = 10;

/// Installs the chart into the cluster that KUBECONFIG names, and tries it under load.
#[derive(Debug, Clone, Args)]
pub struct KubernetesArgs {
    /// Only this; may be given several times.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    pub only: Vec<Trial>,
    /// The image with the programs.
    #[arg(long, value_name = "NAME:TAG")]
    pub image: String,
    /// Another tag of it, to upgrade to.
    #[arg(long, value_name = "TAG")]
    pub next_tag: Option<String>,
    /// Brings the image $IMAGE into the cluster; run by the shell for each tag, as 'kind load docker-image $IMAGE'.
    #[arg(long, value_name = "COMMAND")]
    pub load: Option<String>,
    /// The chart.
    #[arg(long, value_name = "FOLDER", default_value = "helm/switchboard")]
    pub chart: PathBuf,
    /// Values on top of the chart's values-dev.yaml; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Where it is installed.
    #[arg(long, default_value = "switchboard-test")]
    pub namespace: String,
    /// As what it is installed.
    #[arg(long, default_value = "chat")]
    pub release: String,
    /// Where clients get in, if not by a port of the nodes: http://host:port
    #[arg(long, value_name = "URL,URL", value_delimiter = ',')]
    pub url: Vec<String>,
    /// Tries pushes, too: a port of this machine that is free, and how pods reach it. It is listened at on all addresses.
    #[arg(long, value_name = "HOST:PORT")]
    pub webhook: Option<String>,
    /// Sessions, over 3 gateways.
    #[arg(long, default_value_t = 300)]
    pub users: usize,
    /// Members in a room; each is in one room.
    #[arg(long, default_value_t = 2)]
    pub room_size: usize,
    /// Messages a second, over all sessions.
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// How long, and where it is written to.
    #[command(flatten)]
    pub rounds: Rounds,
    /// Leave it installed.
    #[arg(long)]
    pub keep: bool,
    /// Take what --keep has left, and leave it.
    #[arg(long, conflicts_with = "load")]
    pub reuse: bool,
}

impl KubernetesArgs {
    fn check(&self) -> anyhow::Result<()> {
        self.course().check()?;
        self.rounds.check()?;
        ensure!(
            self.next_tag.is_some() || !self.trials().contains(&Trial::HelmUpgrade),
            "helm-upgrade needs --next-tag"
        );
        ensure!(
            self.chart.join("Chart.yaml").is_file(),
            "--chart {}: there is no chart",
            self.chart.display()
        );
        self.place()?;
        Image::parse(&self.image).map(drop)
    }

    fn place(&self) -> anyhow::Result<Option<Place>> {
        self.webhook.as_deref().map(Place::parse).transpose()
    }

    fn trials(&self) -> Vec<Trial> {
        if self.only.is_empty() {
            Trial::value_variants().to_vec()
        } else {
            self.only.clone()
        }
    }

    fn course(&self) -> Course {
        Course {
            users: self.users,
            room_size: self.room_size,
            // Who is not connected is pushed: nobody is where that is not to be seen.
            absent: if self.webhook.is_some() { ABSENT } else { 0 },
            leaving: 0,
            rate: self.rate,
            before: self.rounds.load_before(),
            after: self.rounds.load_after(),
            at_least: Duration::ZERO,
        }
    }

    fn site(&self) -> anyhow::Result<Site> {
        Ok(Site {
            tools: Tools {
                namespace: self.namespace.clone(),
                release: self.release.clone(),
            },
            chart: self.chart.clone(),
            values: self.values.clone(),
            image: Image::parse(&self.image)?,
        })
    }
}

/// All that was seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KubernetesReport {
    /// A row for each trial.
    #[serde(flatten)]
    pub rounds: BreakReport,
    /// What was promised beside messages and kept.
    pub kept: Vec<String>,
    /// What was not.
    pub broken: Vec<String>,
    /// What no trial looked at, and what it takes to look.
    pub untried: Vec<String>,
}

impl KubernetesReport {
    /// Whether every trial was made, every row is good and every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.rounds.is_good() && self.broken.is_empty()
    }
}

impl std::fmt::Display for KubernetesReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.rounds)?;
        for kept in &self.kept {
            writeln!(f, "kept: {kept}")?;
        }
        for broken in &self.broken {
            writeln!(f, "BROKEN: {broken}")?;
        }
        for untried in &self.untried {
            writeln!(f, "not tried: {untried}")?;
        }
        Ok(())
    }
}

/// Installs it, tries it, and removes it.
///
/// # Errors
/// When the arguments make no sense, or it can't be installed. A bad verdict is none, nor that it can't be removed: see
/// [`KubernetesReport::is_good`].
pub async fn kubernetes(args: &KubernetesArgs) -> anyhow::Result<KubernetesReport> {
    args.check()?;
    let site = args.site()?;
    let webhook = match args.place()? {
        Some(place) => Some(place.listen().await?),
        None => None,
    };
    let bar = bar();
    let context = site
        .tools
        .kubectl(&["config", "current-context"])
        .await
        .unwrap_or_default();
    say(&bar, &format!("cluster: {}", context.trim()));
    let made_namespace = !site.has_namespace().await?;
    let mut report = KubernetesReport::default();
    if webhook.is_none() {
        let words = "pushes to who is not connected: they need --webhook";
        report.untried.push(words.to_owned());
    }
    if !args.reuse {
        install(args, &site, webhook.as_ref(), &bar, &mut report).await?;
    }
    all(args, &site, webhook.as_ref(), &bar, &mut report).await;
    bar.finish_and_clear();
    if args.keep || args.reuse {
        return Ok(report);
    }
    // What was seen before stands.
    if let Err(error) = site.remove(made_namespace).await {
        report
            .broken
            .push(format!("it can't be removed: {error:#}"));
    }
    Ok(report)
}

async fn install(
    args: &KubernetesArgs,
    site: &Site,
    webhook: Option<&Webhook>,
    bar: &ProgressBar,
    report: &mut KubernetesReport,
) -> anyhow::Result<()> {
    bar.set_prefix("installing");
    if let Some(command) = &args.load {
        let mut tags = vec![site.image.tag.as_str()];
        tags.extend(args.next_tag.as_deref());
        site.load(command, &tags).await?;
    }
    let Tools { namespace, release } = &site.tools;
    let took = site.install(webhook).await.with_context(|| {
        format!("left as it is; to remove it: helm uninstall {release} --namespace {namespace}")
    })?;
    let took = took.as_secs_f64();
    report
        .kept
        .push(format!("helm install --wait took {took:.0} s"));
    Ok(())
}

async fn all(
    args: &KubernetesArgs,
    site: &Site,
    webhook: Option<&Webhook>,
    bar: &ProgressBar,
    report: &mut KubernetesReport,
) {
    let (course, trials) = (args.course(), args.trials());
    let mut step = "begin".to_owned();
    let result = async {
        let urls = if args.url.is_empty() {
            site.urls().await?
        } else {
            args.url.clone()
        };
        say(bar, &format!("clients: {}", urls.join(" ")));
        harden(site, report).await?;
        bar.set_prefix("warming up");
        warm_up(&course, args.rounds.warm_up, urls.clone()).await?;
        // Without load nobody is told of anything.
        if let Some(webhook) = webhook.filter(|_| args.rounds.warm_up > 0.0) {
            webhook.heard().await?;
        }
        for (number, trial) in (1..).zip(&trials) {
            step = typed(trial);
            bar.set_prefix(format!("{number}/{} {step}", trials.len()));
            bar.set_message("connecting");
            let scenario = course.scenario(urls.clone()).await?;
            let next = args.next_tag.as_deref();
            let mut stroke = Stroke::prepare(*trial, site, next, &scenario).await?;
            let (mut row, story) = ride(&course, &scenario, &mut stroke, bar).await?;
            if let Some(Webhook { hook, .. }) = webhook {
                let pushes = Pushes::settle(&scenario, hook, trial.patience()).await;
                pushes.tell(&mut row);
            }
            row.remarks.append(&mut stroke.remarks);
            if !row.is_good() {
                row.remarks.extend(scenario.gauge().remarks());
            }
            let named = |words: String| format!("{}: {words}", row.name);
            report.broken.extend(stroke.broken.into_iter().map(named));
            say(bar, &row.cells().join("  "));
            report.rounds.rows.push(row);
            report.rounds.stories.push(story);
        }
        anyhow::Ok(())
    };
    if let Err(error) = result.await {
        report.rounds.failed = Some(format!("{step}: {error:#}"));
    }
}

/// Every process is what the chart says: no root, nothing to write, no capabilities.
async fn harden(site: &Site, report: &mut KubernetesReport) -> anyhow::Result<()> {
    let pods = site.pods().await?;
    ensure!(!pods.is_empty(), "no pods");
    let mut broken = Vec::new();
    for pod in &pods {
        let text = site
            .tools
            .exec(&pod.name, &pod.component, &hardened::READ)
            .await?;
        let mistakes = hardened::mistakes(&text);
        let named = |words: String| format!("{}: {words}", pod.name);
        broken.extend(mistakes.into_iter().map(named));
    }
    if broken.is_empty() {
        report.kept.push(format!(
            "asked in each of {} pods: no root, root file system read only, no capabilities, no way to gain any, seccomp",
            pods.len()
        ));
    }
    report.broken.append(&mut broken);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: KubernetesArgs,
    }

    fn parse(line: &str) -> KubernetesArgs {
        let chart = concat!(
            "--chart=",
            env!("CARGO_MANIFEST_DIR"),
            "/../helm/switchboard"
        );
        let words = line.split_whitespace().chain([chart]);
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn takes_the_flags() {
        let args = parse("kubernetes --image switchboard:1 --next-tag 2");
        assert_eq!(args.trials().len(), Trial::value_variants().len());
        args.check().unwrap();
        let args = parse("kubernetes --image switchboard:1 --only install,was-scaled");
        assert_eq!(args.trials(), [Trial::Install, Trial::WasScaled]);
        args.check().unwrap();
        assert_eq!(args.course().absent, 0);
        let args = parse("kubernetes --image switchboard:1 --next-tag 2 --webhook 10.0.0.1:8099");
        assert_eq!(args.course().absent, ABSENT);
        args.check().unwrap();
        let bad = [
            "",
            "--next-tag 2 --rate 0",
            "--next-tag 2 --after=-1",
            "--next-tag 2 --webhook 8099",
        ];
        for more in bad {
            let args = parse(&format!("kubernetes --image switchboard:1 {more}"));
            assert!(args.check().is_err(), "{more}");
        }
        assert!(
            parse("kubernetes --image switchboard --next-tag 2")
                .check()
                .is_err()
        );
        assert!(Line::try_parse_from(["kubernetes"]).is_err());
    }

    #[test]
    fn a_broken_promise_is_not_good() {
        let mut report = KubernetesReport::default();
        assert!(report.is_good());
        report.broken.push("two were evicted".to_owned());
        assert!(!report.is_good());
        assert!(report.to_string().contains("BROKEN: two were evicted"));
        report.untried.push("pushes".to_owned());
        assert!(report.to_string().ends_with("not tried: pushes\n"));
        let json = serde_json::to_value(&report).unwrap();
        assert!(json["rows"].is_array() && json["failed"].is_null());
    }
}
