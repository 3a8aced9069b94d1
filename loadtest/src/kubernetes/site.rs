//! The installation under test: the chart's release, from its install to its end.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    address::addresses,
    owners::{self, Owned},
    pods::{self, Pod},
    tools::{self, Tools},
    webhook::Webhook,
};

/// How often it is looked what pods do.
const LOOK: Duration = Duration::from_secs(1);
/// How long the cluster may take for what it was asked to do.
pub(super) const WITHIN: Duration = Duration::from_mins(5);
/// The same, as `helm` and `kubectl` take it.
const TIMEOUT: &str = "--timeout=5m";
/// How long homes and lanes may take to be where they belong.
const OWNED_WITHIN: Duration = Duration::from_secs(30);

/// How many there are of each.
pub(super) const GATEWAYS: usize = 3;
pub(super) const CLASSIFIERS: usize = 2;

/// An image, as `name:tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) repository: String,
    pub(super) tag: String,
}

impl Image {
    /// # Errors
    /// When there is no tag.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (repository, tag) = text
            .rsplit_once(':')
            .filter(|(name, tag)| !name.is_empty() && !tag.is_empty() && !tag.contains('/'))
            .with_context(|| format!("--image {text}: expected NAME:TAG"))?;
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

/// Where and what.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) tools: Tools,
    pub(super) chart: PathBuf,
    pub(super) values: Vec<PathBuf>,
    pub(super) image: Image,
}

impl Site {
    /// Brings images into the cluster with the user's own command, once for each tag.
    pub(super) async fn load(&self, command: &str, tags: &[&str]) -> anyhow::Result<()> {
        for tag in tags {
            let image = format!("{}:{tag}", self.image.repository);
            tools::shell(command, &[("IMAGE", &image)])
                .await
                .with_context(|| format!("bring {image} into the cluster"))?;
        }
        Ok(())
    }

    /// Installs the chart with its `dev` values, with push workers where they have somebody to tell, and returns how long it
    /// took until all was ready.
    pub(super) async fn install(&self, webhook: Option<&Webhook>) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let chart = self.chart.to_string_lossy();
        let dev = self.chart.join("values-dev.yaml");
        let dev = dev.to_string_lossy();
        let mut args = vec!["install", &self.tools.release, &chart];
        args.extend(["--create-namespace", "--wait", TIMEOUT]);
        args.extend(["--values", &dev, "--values", "-"]);
        let files: Vec<_> = self
            .values
            .iter()
            .map(|file| file.to_string_lossy())
            .collect();
        for file in &files {
            args.extend(["--values", file]);
        }
        let mut own = json!({
            "image": {"repository": self.image.repository, "tag": self.image.tag},
            "service": {"type": "NodePort"},
            "was": {"replicas": GATEWAYS},
            "classifier": {"replicas": CLASSIFIERS},
        });
        for (key, values) in webhook.map(Webhook::values).into_iter().flatten() {
            own[key] = values;
        }
        self.tools.helm(&args, &own.to_string()).await?;
        Ok(begin.elapsed())
    }

    /// Changes some values, and with `wait` waits until all is ready.
    pub(super) async fn upgrade(&self, set: &[&str], wait: bool) -> anyhow::Result<()> {
        let chart = self.chart.to_string_lossy();
        let mut args = vec!["upgrade", &self.tools.release, &chart, "--reuse-values"];
        args.extend(set.iter().flat_map(|one| ["--set", one]));
        if wait {
            args.extend(["--wait", TIMEOUT]);
        }
        self.tools.helm(&args, "").await.map(drop)
    }

    /// Removes the release, and the namespace if it was made for it.
    pub(super) async fn remove(&self, namespace: bool) -> anyhow::Result<()> {
        let args = ["uninstall", &self.tools.release, "--wait", TIMEOUT];
        self.tools.helm(&args, "").await?;
        if namespace {
            let args = ["delete", "namespace", &self.tools.namespace, "--wait=false"];
            self.tools.kubectl(&args).await?;
        }
        Ok(())
    }

    pub(super) async fn has_namespace(&self) -> anyhow::Result<bool> {
        let name = &self.tools.namespace;
        let args = [
            "get",
            "namespace",
            name,
            "--ignore-not-found",
            "--output=name",
        ];
        Ok(!self.tools.kubectl(&args).await?.trim().is_empty())
    }

    /// Where clients get in.
    pub(super) async fn urls(&self) -> anyhow::Result<Vec<String>> {
        let was = self.tools.selector(Some("was"));
        let services = self
            .tools
            .objects(&["get", "services", "--selector", &was])
            .await?;
        let nodes = self.tools.objects(&["get", "nodes"]).await?;
        let all = services["items"].as_array().map(Vec::as_slice);
        // The other one is headless: it gives each gateway a name.
        let for_clients = |one: &&Value| one["spec"]["clusterIP"] != "None";
        let service = all.unwrap_or_default().iter().find(for_clients);
        addresses(service.context("no Service for clients")?, &nodes)
    }

    /// All pods of the release.
    pub(super) async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let selector = self.tools.selector(None);
        let args = ["get", "pods", "--selector", &selector];
        Ok(pods::pods(&self.tools.objects(&args).await?))
    }

    /// Waits until the pods are as they should be.
    pub(super) async fn until(
        &self,
        what: &str,
        good: impl Fn(&[Pod]) -> bool,
    ) -> anyhow::Result<Vec<Pod>> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let pods = self.pods().await?;
            if good(&pods) {
                return Ok(pods);
            }
            if Instant::now() > deadline {
                bail!("{what} not within {WITHIN:?}: {}", pods::told(&pods));
            }
            sleep(LOOK).await;
        }
    }

    /// The StatefulSets and Deployments of some components, as `kubectl` names them.
    pub(super) async fn workloads(
        &self,
        components: &[Option<&str>],
    ) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for component in components {
            let selector = self.tools.selector(*component);
            let args = [
                "get",
                "statefulsets,deployments",
                "--output=name",
                "--selector",
                &selector,
            ];
            let told = self.tools.kubectl(&args).await?;
            names.extend(told.lines().map(str::to_owned));
        }
        Ok(names)
    }

    /// The one of a component.
    pub(super) async fn workload(&self, component: &str) -> anyhow::Result<String> {
        let names = self.workloads(&[Some(component)]).await?;
        ensure!(
            names.len() == 1,
            "one workload of {component}, not {names:?}"
        );
        Ok(names.into_iter().next().unwrap_or_default())
    }

    /// Waits until a rollout is over.
    pub(super) async fn rolled_out(&self, workload: &str) -> anyhow::Result<()> {
        let args = ["rollout", "status", workload, TIMEOUT];
        self.tools.kubectl(&args).await.map(drop)
    }

    /// Who owns which `home` or `lane`, once that is good; at the deadline as it is then.
    pub(super) async fn owned(
        &self,
        what: &str,
        good: impl Fn(&Owned) -> bool,
    ) -> anyhow::Result<Owned> {
        let deadline = Instant::now() + OWNED_WITHIN;
        loop {
            let pods = self.pods().await?;
            let asked = pods::of(&pods, "classifier");
            let asked = asked.iter().find(|pod| pod.ready && !pod.ending);
            let pod = &asked.context("no classifier to ask")?.name;
            let list = format!("{what}s");
            let program = ["classifier", &list, "--json"];
            let text = self.tools.exec(pod, "classifier", &program).await?;
            let owned = owners::owned(&text, what)?;
            if good(&owned) || Instant::now() > deadline {
                return Ok(owned);
            }
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_a_tag() {
        let image = Image::parse("registry:5000/chat/switchboard:1.2").unwrap();
        assert_eq!(image.repository, "registry:5000/chat/switchboard");
        assert_eq!(image.tag, "1.2");
        for bad in [
            "switchboard",
            "registry:5000/switchboard",
            "switchboard:",
            ":1",
        ] {
            assert!(Image::parse(bad).is_err(), "{bad}");
        }
    }
}
