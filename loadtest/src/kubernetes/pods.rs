//! Pods, as `kubectl get pods -o json` tells of them. Pure.

use serde_json::Value;

/// What labels a pod with the part that it plays.
const COMPONENT: &str = "app.kubernetes.io/component";

/// A pod of the release, and its container of the same name as its component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) component: String,
    pub(super) node: String,
    pub(super) image: String,
    /// The container's id, without the runtime's name before it; empty before there is one.
    pub(super) container: String,
    pub(super) restarts: u64,
    pub(super) ready: bool,
    /// It was told to go.
    pub(super) ending: bool,
    /// Whom its processes are run by; none where the image says.
    pub(super) user: Option<i64>,
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (meta, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
        let component = text(&meta["labels"][COMPONENT]);
        let named = |list: &Value| {
            let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let own = all.iter().find(|one| one["name"] == component.as_str());
            own.cloned().unwrap_or_default()
        };
        let (container, state) = (
            named(&spec["containers"]),
            named(&status["containerStatuses"]),
        );
        let id = text(&state["containerID"]);
        let own_user = container["securityContext"]["runAsUser"].as_i64();
        Self {
            name: text(&meta["name"]),
            uid: text(&meta["uid"]),
            node: text(&spec["nodeName"]),
            image: text(&container["image"]),
            container: id.rsplit('/').next().unwrap_or_default().to_owned(),
            restarts: state["restartCount"].as_u64().unwrap_or(0),
            ready: condition(status, "Ready"),
            ending: meta["deletionTimestamp"].is_string(),
            user: own_user.or_else(|| spec["securityContext"]["runAsUser"].as_i64()),
            component,
        }
    }
}

fn condition(status: &Value, kind: &str) -> bool {
    let all = status["conditions"].as_array();
    all.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == kind && one["status"] == "True")
    })
}

/// All pods of a list, by their names; those of a StatefulSet by their numbers.
pub(super) fn pods(list: &Value) -> Vec<Pod> {
    let items = list["items"].as_array().map(Vec::as_slice);
    let mut pods: Vec<Pod> = items.unwrap_or_default().iter().map(Pod::of).collect();
    pods.sort_by_key(|pod| (pod.name.len(), pod.name.clone()));
    pods
}

/// Those of a component.
pub(super) fn of<'a>(pods: &'a [Pod], component: &str) -> Vec<&'a Pod> {
    let own = pods.iter().filter(|pod| pod.component == component);
    own.collect()
}

/// Whether there are so many of a component, all ready, and no other.
pub(super) fn stand(pods: &[Pod], component: &str, count: usize) -> bool {
    let own = of(pods, component);
    own.len() == count && own.iter().all(|pod| pod.ready && !pod.ending)
}

/// In words: for whoever waits in vain.
pub(super) fn told(pods: &[Pod]) -> String {
    let words = |pod: &Pod| {
        let state = match (pod.ending, pod.ready) {
            (true, _) => "ending",
            (false, true) => "ready",
            (false, false) => "not ready",
        };
        format!("{} {state}, {} restarts", pod.name, pod.restarts)
    };
    pods.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, component: &str, ready: bool) -> Value {
        json!({
            "metadata": {"name": name, "uid": format!("u-{name}"), "labels": {COMPONENT: component}},
            "spec": {
                "nodeName": "node",
                "securityContext": {"runAsUser": 10001},
                "containers": [{"name": "beside"}, {"name": component, "image": "switchboard:1"}],
            },
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [
                    {"name": "beside", "containerID": "containerd://other", "restartCount": 7},
                    {"name": component, "containerID": "containerd://abc", "restartCount": 1},
                ],
            },
        })
    }

    #[test]
    fn the_container_of_the_component_is_the_one_that_counts() {
        let list =
            json!({"items": [pod("chat-was-10", "was", true), pod("chat-was-9", "was", false)]});
        let all = pods(&list);
        assert_eq!(all[0].name, "chat-was-9");
        let wanted = Pod {
            name: "chat-was-10".to_owned(),
            uid: "u-chat-was-10".to_owned(),
            component: "was".to_owned(),
            node: "node".to_owned(),
            image: "switchboard:1".to_owned(),
            container: "abc".to_owned(),
            restarts: 1,
            ready: true,
            ending: false,
            user: Some(10_001),
        };
        assert_eq!(all[1], wanted);
    }

    #[test]
    fn who_is_about_to_go_or_not_ready_does_not_stand() {
        let list = json!({"items": [pod("a-0", "was", true), pod("a-1", "was", true), pod("k-0", "kafka", false)]});
        let mut all = pods(&list);
        assert!(stand(&all, "was", 2) && !stand(&all, "was", 1) && !stand(&all, "was", 3));
        assert!(!stand(&all, "kafka", 1));
        all[0].ending = true;
        assert!(!stand(&all, "was", 2));
        assert!(told(&all).starts_with("a-0 ending, 1 restarts; a-1 ready"));
        assert_eq!(pods(&json!({})), []);
    }
}
