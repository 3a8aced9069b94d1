//! Doing what is tried, and seeing it through until all stands again.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::{
    killer::Killer,
    owners::{self, Owned},
    pods::{self, Pod},
    site::{CLASSIFIERS, GATEWAYS, Site},
    trial::Trial,
};
use crate::{breaking::Blow, own_cluster::LANES, scenario::Scenario, typed::typed};

/// What the programs are run as, beside the servers.
const PROGRAMS: [Option<&str>; 3] = [Some("was"), Some("classifier"), Some("push")];

/// One trial, from its preparation to its end.
pub(super) struct Stroke<'a> {
    trial: Trial,
    site: &'a Site,
    scenario: &'a Scenario,
    /// The other tag of the image.
    next: Option<&'a str>,
    before: Vec<Pod>,
    killer: Option<Killer>,
    /// What is worth telling.
    pub(super) remarks: Vec<String>,
    /// What was promised and not kept, beside messages.
    pub(super) broken: Vec<String>,
}

impl<'a> Stroke<'a> {
    /// What has to be there before the load.
    pub(super) async fn prepare(
        trial: Trial,
        site: &'a Site,
        next: Option<&'a str>,
        scenario: &'a Scenario,
    ) -> anyhow::Result<Self> {
        let before = site
            .until("all pods ready before the trial", |pods| {
                pods::stand(pods, "was", GATEWAYS)
                    && pods::stand(pods, "classifier", CLASSIFIERS)
                    && pods.iter().all(|pod| pod.ready && !pod.ending)
            })
            .await?;
        let mut stroke = Self {
            trial,
            site,
            scenario,
            next,
            before,
            killer: None,
            remarks: Vec::new(),
            broken: Vec::new(),
        };
        if trial == Trial::WasProcessKilled {
            let victim = stroke.first("was")?;
            stroke.killer = Some(Killer::prepare(&site.tools, &victim).await?);
        }
        Ok(stroke)
    }

    /// Whom it hits.
    fn first(&self, component: &str) -> anyhow::Result<Pod> {
        let own = pods::of(&self.before, component);
        let first = own.into_iter().next();
        first.cloned().context(format!("no pod of {component}"))
    }

    async fn delete(&self, component: &str) -> anyhow::Result<()> {
        let victim = self.first(component)?.name;
        let args = [
            "delete",
            "pod",
            &victim,
            "--force",
            "--grace-period=0",
            "--wait=false",
        ];
        self.site.tools.kubectl(&args).await.map(drop)
    }

    /// All of the components stand, and none of them stood before.
    async fn all_new(&self, components: &[&str]) -> anyhow::Result<Vec<Pod>> {
        let old = |pod: &Pod| self.before.iter().any(|one| one.uid == pod.uid);
        self.site
            .until("new pods that are ready", |pods| {
                components.iter().all(|component| {
                    let (own, had) = (
                        pods::of(pods, component),
                        pods::of(&self.before, component).len(),
                    );
                    pods::stand(pods, component, had) && !own.iter().any(|pod| old(pod))
                })
            })
            .await
    }

    /// So many stand, and who was hit is no more.
    async fn replaced(&self, component: &str) -> anyhow::Result<()> {
        let (victim, count) = (
            self.first(component)?.uid,
            pods::of(&self.before, component).len(),
        );
        self.site
            .until(&format!("another {component}"), |pods| {
                pods::stand(pods, component, count) && !pods.iter().any(|pod| pod.uid == victim)
            })
            .await
            .map(drop)
    }

    async fn restarted(&self) -> anyhow::Result<()> {
        let victim = self.first("was")?;
        self.site
            .until("the process again", |pods| {
                let now = pods.iter().find(|pod| pod.uid == victim.uid);
                now.is_some_and(|now| now.ready && now.restarts > victim.restarts)
            })
            .await
            .map(drop)
    }

    async fn roll(&self, components: &[Option<&str>]) -> anyhow::Result<()> {
        let workloads = self.site.workloads(components).await?;
        let mut args = vec!["rollout", "restart"];
        args.extend(workloads.iter().map(String::as_str));
        self.site.tools.kubectl(&args).await?;
        for workload in &workloads {
            self.site.rolled_out(workload).await?;
        }
        Ok(())
    }

    async fn upgrade(&mut self) -> anyhow::Result<()> {
        let tag = self.next.context("no other tag of the image")?;
        let set = format!("image.tag={tag}");
        self.site.upgrade(&[&set], true).await?;
        let ours = ["was", "classifier", "push"];
        let pods = self.all_new(&ours).await?;
        let end = format!(":{tag}");
        for pod in pods
            .iter()
            .filter(|pod| ours.contains(&pod.component.as_str()))
        {
            if !pod.image.ends_with(&end) {
                self.broken
                    .push(format!("{} still runs {}", pod.name, pod.image));
            }
        }
        Ok(())
    }

    async fn scale(&self, component: &str, count: usize) -> anyhow::Result<()> {
        let workload = self.site.workload(component).await?;
        let replicas = format!("--replicas={count}");
        let args = ["scale", &workload, &replicas];
        self.site.tools.kubectl(&args).await?;
        self.site
            .until(&format!("{count} of {component}"), |pods| {
                pods::stand(pods, component, count)
            })
            .await
            .map(drop)
    }

    /// Each gateway that is there before and after a step keeps its home (I7).
    async fn scale_gateways(&mut self) -> anyhow::Result<()> {
        let mut seen: Vec<Owned> = Vec::new();
        // So many there are already: what each has at the beginning.
        for count in [GATEWAYS, 5, 2, GATEWAYS] {
            self.scale("was", count).await?;
            let good = |owned: &Owned| owners::one_each(owned, count);
            let now = self.site.owned("home", good).await?;
            if !good(&now) {
                let places = owners::places(&now);
                let words = format!("{count} gateways, and not a home for each: {places}");
                self.broken.push(words);
            }
            // With the first as well as the last: who was away has what it had.
            for before in seen.first().into_iter().chain(seen.last()) {
                self.broken.extend(owners::moved(before, &now));
            }
            seen.push(now);
        }
        let seen: Vec<_> = seen.iter().map(owners::places).collect();
        self.remarks.push(format!("homes: {}", seen.join(" → ")));
        Ok(())
    }

    async fn scale_classifiers(&mut self) -> anyhow::Result<()> {
        let mut seen = Vec::new();
        // So many there are already: what each has at the beginning.
        for count in [CLASSIFIERS, 3, 1, CLASSIFIERS] {
            self.scale("classifier", count).await?;
            let good = |owned: &Owned| owners::hold_all(owned, count, LANES);
            let now = self.site.owned("lane", good).await?;
            if !good(&now) {
                let words = format!("{count} classifiers own {}", owners::shares(&now));
                self.broken.push(words);
            }
            seen.push(owners::shares(&now));
        }
        self.remarks.push(format!("lanes: {}", seen.join(" → ")));
        Ok(())
    }

    /// The first is let go, and the second at the same time is not.
    async fn evict_two(&mut self, component: &str) -> anyhow::Result<()> {
        let own = pods::of(&self.before, component);
        let [first, second, ..] = own[..] else {
            bail!("two of {component} are needed")
        };
        ensure!(
            self.evicted(first).await?,
            "{} may not be evicted",
            first.name
        );
        let (second, gone) = (second.name.clone(), self.evicted(second).await?);
        if gone {
            let words = format!("{second} was evicted while {} was away", first.name);
            self.broken.push(words);
        } else {
            let words = format!("{} evicted; {second} refused: 429", first.name);
            self.remarks.push(words);
        }
        Ok(())
    }

    /// False when a budget forbids it.
    async fn evicted(&self, pod: &Pod) -> anyhow::Result<bool> {
        let namespace = &self.site.tools.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}/eviction", &pod.name);
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": namespace},
        });
        let args = ["create", "--raw", &path, "--filename", "-"];
        let tools = &self.site.tools;
        match tools.kubectl_told(&args, &eviction.to_string()).await {
            Ok(_) => Ok(true),
            // The status 429 has no other name here.
            Err(error) if error.to_string().contains("TooManyRequests") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Any load at all is above a twentieth of what a gateway asks for.
    async fn autoscale(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let on = [
            "was.autoscaling.enabled=true",
            "was.autoscaling.minReplicas=3",
            "was.autoscaling.maxReplicas=5",
            "was.autoscaling.targetCPU=5",
            "was.autoscaling.behavior.scaleUp.stabilizationWindowSeconds=0",
        ];
        self.site.upgrade(&on, false).await?;
        let workload = self.site.workload("was").await?;
        let args = ["get", &workload, "--output=jsonpath={.spec.replicas}"];
        let asked: usize = self.site.tools.kubectl(&args).await?.trim().parse()?;
        if asked < GATEWAYS {
            let words = format!("the autoscaler was turned on, and {asked} gateways were left");
            self.broken.push(words);
        }
        let more = |pods: &[Pod]| (GATEWAYS + 1..=5).any(|count| pods::stand(pods, "was", count));
        let what = "more gateways (the autoscaler needs metrics-server)";
        let pods = self.site.until(what, more).await?;
        let took = begin.elapsed();
        self.remarks.push(self.why_scaled(&pods, took).await?);
        let off = ["was.autoscaling.enabled=false", "was.replicas=3"];
        self.site.upgrade(&off, true).await?;
        let stand = |pods: &[Pod]| pods::stand(pods, "was", GATEWAYS);
        self.site.until("3 gateways", stand).await.map(drop)
    }

    async fn why_scaled(&self, pods: &[Pod], took: Duration) -> anyhow::Result<String> {
        let args = ["get", "horizontalpodautoscalers"];
        let list = self.site.tools.objects(&args).await?;
        let now = &list["items"][0]["status"]["currentMetrics"][0]["containerResource"]["current"];
        Ok(format!(
            "{} gateways {:.0} s after the autoscaler was turned on; now at {} % of the processor time asked for, target 5",
            pods::of(pods, "was").len(),
            took.as_secs_f64(),
            now["averageUtilization"]
        ))
    }
}

impl Blow for Stroke<'_> {
    fn name(&self) -> String {
        typed(&self.trial)
    }

    fn patience(&self) -> Duration {
        self.trial.patience()
    }

    fn affected(&self) -> anyhow::Result<Vec<usize>> {
        Ok(match self.trial {
            Trial::WasPodDeleted | Trial::WasProcessKilled => {
                self.scenario.sessions_on(&self.first("was")?.name)
            }
            _ => self.scenario.staying(),
        })
    }

    async fn strike(&mut self) -> anyhow::Result<Instant> {
        // Times are from when it was asked for: what the tools take is in them.
        let since = Instant::now();
        match self.trial {
            Trial::WasPodDeleted => self.delete("was").await?,
            Trial::ClassifierPodDeleted => self.delete("classifier").await?,
            Trial::WasProcessKilled => {
                let killer = self.killer.as_ref().context("no killer")?;
                killer.kill().await?;
            }
            // What takes its time begins with `heal`: the load goes on meanwhile.
            _ => {}
        }
        Ok(since)
    }

    async fn heal(&mut self) -> anyhow::Result<()> {
        match self.trial {
            Trial::Install => {}
            Trial::WasPodDeleted => self.replaced("was").await?,
            Trial::ClassifierPodDeleted => self.replaced("classifier").await?,
            Trial::WasProcessKilled => self.restarted().await?,
            Trial::RolloutRestart => {
                self.roll(&PROGRAMS).await?;
                self.all_new(&["was", "classifier", "push"]).await?;
            }
            Trial::HelmUpgrade => self.upgrade().await?,
            Trial::WasScaled => self.scale_gateways().await?,
            Trial::ClassifiersScaled => self.scale_classifiers().await?,
            Trial::Evictions => {
                self.evict_two("was").await?;
                self.evict_two("classifier").await?;
                self.replaced("was").await?;
                self.replaced("classifier").await?;
            }
            Trial::Autoscaling => self.autoscale().await?,
            Trial::EverythingRestarted => {
                self.roll(&[None]).await?;
                let all = ["was", "classifier", "push", "kafka", "postgres", "redis"];
                self.all_new(&all).await?;
            }
        }
        if let Some(killer) = self.killer.take() {
            killer.go().await?;
        }
        Ok(())
    }
}
