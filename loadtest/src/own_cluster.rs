//! `--stack`: a cluster of the run's own, with the settings that a run needs.

use std::time::Duration;

use anyhow::Context;
use stack::{Cluster, ClusterOptions, Stack};

use crate::{breaking::Scene, hook::Hook, processes::System};

/// What a run asks of its cluster.
pub(crate) struct Demand {
    /// Commands a second of the busiest user.
    pub(crate) rate_per_user: f64,
    /// Members of the largest room.
    pub(crate) room_size: usize,
}

/// The default rate limit, and some room below it: up to here a run measures the system as it is shipped.
const RATE_LIMIT: f64 = 20.0 * 0.75;
/// The default number of lanes.
pub(crate) const LANES: i32 = 24;
/// The default limit of a group.
const GROUP_LIMIT: usize = 100;

/// The least load before what is measured that is worth brokers which optimize: until their compiler has come to rest they
/// are slower than those that do not.
const WARMED_UP: Duration = Duration::from_secs(10);

/// Installs what is missing, starts servers, 3 gateways and 2 classifiers, with the default lanes and homes. There will be
/// load for `warm_up` before anything is measured.
pub(crate) async fn start(demand: &Demand, warm_up: Duration) -> anyhow::Result<System> {
    let options = stack::Options {
        optimize: warm_up >= WARMED_UP,
        ..stack::Options::default()
    };
    let stack = Stack::start(options).await.context("start the servers")?;
    let size = Size {
        classifiers: 2,
        pushers: 0,
        env: settings(demand),
    };
    on(stack, size).await
}

/// A system to be broken, and the webhook that its push worker tells. The system goes first.
pub(crate) struct Ground {
    pub(crate) system: System,
    pub(crate) hook: Hook,
}

/// The same to be broken: brokers and Redis as the scene has them, 3 gateways, 3 classifiers, a push worker. With `cables` the first gateway and
/// the first classifier have a network of their own, in this order. It does not take the turn of the tests that break
/// servers (`Stack::alone`): it lasts for many minutes.
pub(crate) async fn start_to_break(
    demand: &Demand,
    scene: &Scene,
    cables: bool,
) -> anyhow::Result<Ground> {
    let hook = Hook::start().await.context("listen for pushes")?;
    let options = stack::Options {
        brokers: scene.brokers,
        redis: scene.redis,
        cables: if cables { 2 } else { 0 },
        ..stack::Options::default()
    };
    let stack = Stack::start(options).await.context("start the servers")?;
    let mut size = Size {
        classifiers: 3,
        pushers: 1,
        env: hook.env(),
    };
    size.env.extend(settings(demand));
    let system = on(stack, size).await?;
    Ok(Ground { system, hook })
}

/// The same to be held by hand: one broker, 3 gateways, 2 classifiers, 2 push workers, and these settings on top.
pub(crate) async fn start_to_hold(
    demand: &Demand,
    on_top: Vec<(String, String)>,
) -> anyhow::Result<Ground> {
    let hook = Hook::start().await.context("listen for pushes")?;
    let stack = Stack::start(stack::Options::default())
        .await
        .context("start the servers")?;
    let mut env = hook.env();
    env.extend(settings(demand));
    env.extend(on_top);
    let size = Size {
        classifiers: 2,
        pushers: 2,
        env,
    };
    let system = on(stack, size).await?;
    Ok(Ground { system, hook })
}

/// How much of what differs between runs.
struct Size {
    classifiers: usize,
    pushers: usize,
    env: Vec<(String, String)>,
}

async fn on(stack: Stack, size: Size) -> anyhow::Result<System> {
    let space = stack.space().await.context("make a space on the servers")?;
    let cabled = ["was-1", "classifier-1"].into_iter().zip(stack.cables());
    let options = ClusterOptions {
        was: 3,
        classifiers: size.classifiers,
        pushers: size.pushers,
        lanes: LANES,
        homes: 64,
        env: size.env,
        env_of: cabled
            .map(|(name, cable)| (name.to_owned(), cable.env(&space)))
            .collect(),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&space, options)
        .await
        // Before the space goes, and with it the logs that tell why.
        .inspect_err(|_| _ = stack.keep_logs())
        .context("start gateways and classifiers")?;
    Ok(System {
        cluster,
        space,
        stack,
    })
}

/// Limits are lifted only where the demand is above them.
fn settings(demand: &Demand) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut set = |name: &str, value: String| settings.push((format!("SWITCHBOARD_{name}"), value));
    if demand.rate_per_user > RATE_LIMIT {
        set("WAS_RATE_PER_SECOND", "100000".to_owned());
        set("WAS_RATE_BURST", "100000".to_owned());
    }
    if demand.room_size > GROUP_LIMIT {
        set("GROUP_LIMIT", demand.room_size.to_string());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lifted_only_when_needed() {
        assert_eq!(
            settings(&Demand {
                rate_per_user: 5.0,
                room_size: 100
            }),
            []
        );
        assert_eq!(
            settings(&Demand {
                rate_per_user: 50.0,
                room_size: 101
            })
            .len(),
            3
        );
    }
}
