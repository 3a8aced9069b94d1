//! `kubectl` and `helm`, as processes: what a user has, and nothing that this crate must keep up with.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// No call takes as long: what waits for the cluster has a shorter time limit of its own.
const LONGEST: Duration = Duration::from_mins(15);

/// One release in one namespace of the cluster that `KUBECONFIG` names.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) namespace: String,
    pub(super) release: String,
}

impl Tools {
    /// What all objects of the release are labelled with, of one component or of all.
    pub(super) fn selector(&self, component: Option<&str>) -> String {
        let mut selector = format!("app.kubernetes.io/instance={}", self.release);
        if let Some(component) = component {
            selector.push_str(",app.kubernetes.io/component=");
            selector.push_str(component);
        }
        selector
    }

    /// Runs `kubectl` in the namespace; returns what it says.
    pub(super) async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl_told(args, "").await
    }

    /// The same with something to read.
    pub(super) async fn kubectl_told(&self, args: &[&str], text: &str) -> anyhow::Result<String> {
        // Before a `--`, behind which everything belongs to the pod's program.
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(args);
        run("kubectl", &all, text).await
    }

    /// Runs `kubectl` with `-o json`.
    pub(super) async fn objects(&self, args: &[&str]) -> anyhow::Result<Value> {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let text = self.kubectl(&all).await?;
        serde_json::from_str(&text).with_context(|| format!("read what kubectl {args:?} says"))
    }

    /// What a program in a pod says.
    pub(super) async fn exec(
        &self,
        pod: &str,
        container: &str,
        program: &[&str],
    ) -> anyhow::Result<String> {
        let mut args = vec!["exec", pod, "--container", container, "--"];
        args.extend(program);
        self.kubectl(&args).await
    }

    /// Runs `helm` in the namespace.
    pub(super) async fn helm(&self, args: &[&str], text: &str) -> anyhow::Result<String> {
        let mut all = args.to_vec();
        all.extend(["--namespace", &self.namespace]);
        run("helm", &all, text).await
    }
}

/// A line for the shell, with more in its environment.
pub(super) async fn shell(line: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = Command::new("sh");
    // What it says is for whoever waits; stdout belongs to the report.
    command.args(["-c", &format!("{{ {line}\n}} >&2")]);
    command.envs(env.iter().copied());
    let status = command.stdin(Stdio::null()).kill_on_drop(true).status();
    let status = timeout(LONGEST, status)
        .await
        .with_context(|| format!("`{line}` took more than {LONGEST:?}"))??;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

async fn run(program: &str, args: &[&str], text: &str) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {program}: it must be in the PATH"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read it says by its status what it thinks of that.
        _ = stdin.write_all(text.as_bytes()).await;
    }
    let output = timeout(LONGEST, child.wait_with_output())
        .await
        .with_context(|| format!("{program} {} took more than {LONGEST:?}", args.join(" ")))??;
    ensure!(
        output.status.success(),
        "{program} {}: {}, {}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
