//! A small system of a test's own.

use stack::{Cluster, ClusterOptions, Space, Stack};

/// Gateways and classifiers on a space of their own; ended when dropped, the cluster before its space.
pub(crate) struct System {
    pub(crate) cluster: Cluster,
    _space: Space,
}

pub(crate) async fn start(was: usize, classifiers: usize) -> System {
    let space = Stack::shared().await.unwrap().space().await.unwrap();
    let options = ClusterOptions {
        was,
        classifiers,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&space, options).await.unwrap();
    System {
        cluster,
        _space: space,
    }
}
