//! `kill -9` of a container's process, on whatever cluster. Inside its own container a first process can't be killed: the
//! kernel keeps it from its own namespace. So a pod of the same user looks at all processes of the node: it needs no
//! privilege but `hostPID`.

use anyhow::{Context, ensure};
use serde_json::json;

use super::{pods::Pod, tools::Tools};

const NAME: &str = "switchboard-killer";
/// How long it may take to be there.
const STARTING: &str = "--timeout=60s";

/// Waits next to a process.
pub(super) struct Killer {
    tools: Tools,
    pids: Vec<String>,
}

impl Killer {
    /// Starts it on the victim's node, of the victim's image: nothing else is needed.
    pub(super) async fn prepare(tools: &Tools, victim: &Pod) -> anyhow::Result<Self> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME},
            "spec": {
                "nodeName": victim.node,
                "hostPID": true,
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 0,
                // Who is of the same user may send it a signal.
                "securityContext": {
                    "runAsUser": victim.user,
                    "runAsNonRoot": true,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "killer",
                    "image": victim.image,
                    "command": ["sleep", "600"],
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
            },
        });
        // A trial that failed has left its own, which has ended by now.
        let clear = ["delete", "pod", NAME, "--ignore-not-found"];
        tools.kubectl(&clear).await?;
        let apply = ["apply", "--filename", "-"];
        tools.kubectl_told(&apply, &pod.to_string()).await?;
        let ready = format!("pod/{NAME}");
        let wait = ["wait", "--for=condition=Ready", &ready, STARTING];
        tools.kubectl(&wait).await.context(
            "a pod with hostPID is needed to kill a process: does the namespace forbid it?",
        )?;
        // Processes end while they are looked at: no mistake.
        let search = format!(
            "grep -l {} /proc/[0-9]*/cgroup 2>/dev/null || true",
            victim.container
        );
        let found = tools.exec(NAME, "killer", &["sh", "-c", &search]).await?;
        let pid = |line: &str| line.split('/').nth(2).map(str::to_owned);
        let pids: Vec<_> = found.lines().filter_map(pid).collect();
        ensure!(
            !pids.is_empty() && !victim.container.is_empty(),
            "no process of {} is to be seen on its node",
            victim.name
        );
        Ok(Self {
            tools: tools.clone(),
            pids,
        })
    }

    pub(super) async fn kill(&self) -> anyhow::Result<()> {
        let line = format!("kill -9 {}", self.pids.join(" "));
        let said = self.tools.exec(NAME, "killer", &["sh", "-c", &line]).await;
        said.map(drop)
    }

    pub(super) async fn go(self) -> anyhow::Result<()> {
        let args = ["delete", "pod", NAME, "--wait=false"];
        self.tools.kubectl(&args).await.map(drop)
    }
}
