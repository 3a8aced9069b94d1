//! Where clients outside the cluster find the gateways. Pure.

use anyhow::{Context, bail};
use serde_json::Value;

/// The addresses of a Service: those of its load balancer; its port on every node; or its own, which is reached from a
/// node itself.
///
/// # Errors
/// When a load balancer has none yet, or the Service is of another kind.
pub(super) fn addresses(service: &Value, nodes: &Value) -> anyhow::Result<Vec<String>> {
    let spec = &service["spec"];
    let port = &spec["ports"][0];
    let hosts = match spec["type"].as_str().unwrap_or_default() {
        "LoadBalancer" => (balancers(service), &port["port"]),
        "NodePort" => (of_nodes(nodes), &port["nodePort"]),
        "ClusterIP" => (texts(&spec["clusterIP"]), &port["port"]),
        other => bail!("a Service of type {other:?}: give --url"),
    };
    let (hosts, port) = hosts;
    let port = port.as_u64().context("a Service without a port")?;
    if hosts.is_empty() {
        bail!("the Service has no address yet: give --url");
    }
    let url = |host: &String| {
        if host.contains(':') {
            format!("http://[{host}]:{port}")
        } else {
            format!("http://{host}:{port}")
        }
    };
    Ok(hosts.iter().map(url).collect())
}

fn texts(value: &Value) -> Vec<String> {
    value.as_str().map(str::to_owned).into_iter().collect()
}

fn balancers(service: &Value) -> Vec<String> {
    let all = service["status"]["loadBalancer"]["ingress"].as_array();
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let host = |one: &Value| {
        let name = one["ip"].as_str().or_else(|| one["hostname"].as_str());
        name.map(str::to_owned)
    };
    all.iter().filter_map(host).collect()
}

/// One of each node: what is reached from outside, if it has such an address.
fn of_nodes(nodes: &Value) -> Vec<String> {
    let all = nodes["items"].as_array().map(Vec::as_slice);
    let address = |node: &Value| {
        let list = node["status"]["addresses"].as_array()?;
        let of = |kind: &str| list.iter().find(|one| one["type"] == kind);
        let found = of("ExternalIP").or_else(|| of("InternalIP"))?;
        found["address"].as_str().map(str::to_owned)
    };
    all.unwrap_or_default().iter().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(kind: &str) -> Value {
        json!({
            "spec": {"type": kind, "clusterIP": "10.96.0.7", "ports": [{"port": 80, "nodePort": 30123}]},
            "status": {"loadBalancer": {}},
        })
    }

    #[test]
    fn each_kind_of_service_is_reached_in_its_own_way() {
        let node = |kind: &str, address: &str| json!({"status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": kind, "address": address}]}});
        let nodes =
            json!({"items": [node("InternalIP", "10.0.0.2"), node("ExternalIP", "fd00::3")]});
        let of = |service: &Value| addresses(service, &nodes);
        assert_eq!(
            of(&service("NodePort")).unwrap(),
            ["http://10.0.0.2:30123", "http://[fd00::3]:30123"]
        );
        assert_eq!(of(&service("ClusterIP")).unwrap(), ["http://10.96.0.7:80"]);
        let mut balanced = service("LoadBalancer");
        assert!(of(&balanced).unwrap_err().to_string().contains("--url"));
        balanced["status"]["loadBalancer"]["ingress"] =
            json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]);
        assert_eq!(
            of(&balanced).unwrap(),
            ["http://192.0.2.1:80", "http://lb.example:80"]
        );
        assert!(of(&service("ExternalName")).is_err());
    }
}
