//! What can be broken, in the order in which it is. Pure.

use std::time::Duration;

use clap::ValueEnum;
use stack::RedisKind;

/// A fault: its name on the command line is that of the variant, in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A gateway is killed with -9, and started again 5 s later.
    WasKill,
    /// A gateway is asked to end (SIGTERM), and started again 5 s later.
    WasTerm,
    /// A gateway stands still for 10 s (SIGSTOP), its sockets open.
    WasStop,
    /// A classifier is killed with -9, and started again 5 s later.
    ClassifierKill,
    /// A classifier is asked to end (SIGTERM), and started again 5 s later.
    ClassifierTerm,
    /// A classifier stands still for 10 s (SIGSTOP), past its leases.
    ClassifierStop,
    /// Two of three gateways are killed with -9 at once, and started again 5 s later.
    WasTwoKilled,
    /// The network between a gateway and all servers is cut for 10 s, and healed; its clients stay connected to it.
    WasCut,
    /// The same with a classifier: past its leases, and what it had sent arrives afterwards.
    ClassifierCut,
    /// A Kafka broker is killed with -9, and started again 5 s later.
    BrokerKilled,
    /// Two of three brokers are killed with -9 and started again 10 s later: in between nothing may be accepted.
    TwoBrokersKilled,
    /// A Kafka broker stands still for 6 s (SIGSTOP), its sockets open.
    BrokerPaused,
    /// Redis forgets everything (FLUSHALL).
    RedisFlush,
    /// Redis is killed with -9 and started again at once, empty.
    RedisKilledEmpty,
    /// Redis stands still for 5 s (SIGSTOP).
    RedisPaused,
    /// Of a Redis Cluster a node that has nothing but routes is killed with -9, and started again 5 s later, empty.
    RedisNodeKilled,
    /// The primary of Redis is killed with -9; 10 s later, when its sentinels have made the replica the primary, it is
    /// started again.
    RedisFailover,
    /// Postgres is killed with -9, all its processes, and started again at once.
    PostgresKilled,
    /// Postgres stands still for 5 s (SIGSTOP), all its processes.
    PostgresPaused,
    /// For 5 s connections of a gateway and of a classifier to Postgres are reset in the middle of what they ask.
    PostgresReset,
    /// One user's route is deleted in Redis behind everybody's back.
    RouteDeleted,
    /// One user in ten more comes, is sent 1 MB a second, and reads nothing, for 15 s.
    SlowSockets,
    /// 10 records that can't be decoded in each lane.
    Poison,
    /// All gateways, classifiers and push workers, one after another: SIGTERM, end, start, ready.
    RollingRestart,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `kill -9`, and started again.
    Kill,
    /// SIGTERM, and started again.
    Term,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// Its network cut, and healed.
    Cut,
    /// Its connections to Postgres reset, again and again.
    Tear,
    /// FLUSHALL.
    Flush,
    /// The route of session 0.
    Route,
    /// Sockets that nobody reads.
    Slow,
    /// Records that nobody can read.
    Poison,
    /// SIGTERM and start, one by one.
    Roll,
}

/// Of which kind, and how many of them, from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Was(usize),
    Classifier(usize),
    Broker(usize),
    /// The one; of a cluster the node with the table of homes; with sentinels the primary.
    Redis,
    /// Of a cluster another node.
    RedisNode,
    Postgres,
    /// No process in particular.
    Nobody,
}

impl Fault {
    pub(super) const fn way(self) -> Way {
        match self {
            Self::WasKill
            | Self::ClassifierKill
            | Self::WasTwoKilled
            | Self::BrokerKilled
            | Self::TwoBrokersKilled
            | Self::RedisKilledEmpty
            | Self::RedisNodeKilled
            | Self::RedisFailover
            | Self::PostgresKilled => Way::Kill,
            Self::WasTerm | Self::ClassifierTerm => Way::Term,
            Self::WasStop
            | Self::ClassifierStop
            | Self::BrokerPaused
            | Self::RedisPaused
            | Self::PostgresPaused => Way::Pause,
            Self::WasCut | Self::ClassifierCut => Way::Cut,
            Self::PostgresReset => Way::Tear,
            Self::RedisFlush => Way::Flush,
            Self::RouteDeleted => Way::Route,
            Self::SlowSockets => Way::Slow,
            Self::Poison => Way::Poison,
            Self::RollingRestart => Way::Roll,
        }
    }

    pub(super) const fn whom(self) -> Whom {
        match self {
            Self::WasKill | Self::WasTerm | Self::WasStop | Self::WasCut => Whom::Was(1),
            Self::WasTwoKilled => Whom::Was(2),
            Self::ClassifierKill
            | Self::ClassifierTerm
            | Self::ClassifierStop
            | Self::ClassifierCut => Whom::Classifier(1),
            Self::BrokerKilled | Self::BrokerPaused => Whom::Broker(1),
            Self::TwoBrokersKilled => Whom::Broker(2),
            Self::RedisKilledEmpty | Self::RedisPaused | Self::RedisFailover => Whom::Redis,
            Self::RedisNodeKilled => Whom::RedisNode,
            Self::PostgresKilled | Self::PostgresPaused => Whom::Postgres,
            Self::RedisFlush
            | Self::PostgresReset
            | Self::RouteDeleted
            | Self::SlowSockets
            | Self::Poison
            | Self::RollingRestart => Whom::Nobody,
        }
    }

    /// Whether it can be had where Redis stands there as `redis`. Networks are cut before one Redis only.
    pub(crate) fn is_possible(self, redis: RedisKind) -> bool {
        match self {
            Self::RedisNodeKilled => redis == RedisKind::Cluster,
            Self::RedisFailover => redis == RedisKind::Sentinel,
            _ => redis == RedisKind::One || !self.needs_cables(),
        }
    }

    /// Those that are tried if nothing else is said: all, and of a cluster and with sentinels those that are about Redis.
    pub(crate) fn usual(redis: RedisKind) -> Vec<Self> {
        let usual = Self::value_variants().iter().copied().filter(|fault| {
            let of_redis = matches!(fault.whom(), Whom::Redis | Whom::RedisNode)
                || matches!(fault.way(), Way::Flush | Way::Route);
            fault.is_possible(redis) && (redis == RedisKind::One || of_redis)
        });
        usual.collect()
    }

    /// Whether it needs processes whose network can be broken.
    pub(crate) const fn needs_cables(self) -> bool {
        matches!(self.way(), Way::Cut | Way::Tear)
    }

    /// From the fault to the beginning of its repair.
    pub(super) const fn lasting(self) -> Duration {
        Duration::from_secs(match self {
            Self::WasStop
            | Self::ClassifierStop
            | Self::WasCut
            | Self::ClassifierCut
            | Self::TwoBrokersKilled
            | Self::RedisFailover => 10,
            Self::SlowSockets => 15,
            Self::BrokerPaused => 6,
            Self::WasKill
            | Self::WasTerm
            | Self::WasTwoKilled
            | Self::ClassifierKill
            | Self::ClassifierTerm
            | Self::BrokerKilled
            | Self::RedisPaused
            | Self::RedisNodeKilled
            | Self::PostgresPaused
            | Self::PostgresReset => 5,
            Self::RedisFlush
            | Self::RedisKilledEmpty
            | Self::PostgresKilled
            | Self::RouteDeleted
            | Self::Poison
            | Self::RollingRestart => 0,
        })
    }

    /// How long the last messages may take at the end: a lost route is found by the audit at the latest, after
    /// 60–120 s.
    pub(super) const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::RouteDeleted => 150,
            _ => 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::typed;

    #[test]
    fn names_are_what_one_types() {
        let names: Vec<_> = Fault::value_variants().iter().map(typed).collect();
        assert_eq!(names.len(), 24);
        assert_eq!(names[0], "was-kill");
        assert_eq!(names[23], "rolling-restart");
    }

    #[test]
    fn every_kind_of_redis_has_faults_of_its_own() {
        assert_eq!(Fault::usual(RedisKind::One).len(), 22);
        for (redis, own, others) in [
            (
                RedisKind::Cluster,
                Fault::RedisNodeKilled,
                Fault::RedisFailover,
            ),
            (
                RedisKind::Sentinel,
                Fault::RedisFailover,
                Fault::RedisNodeKilled,
            ),
        ] {
            let usual = Fault::usual(redis);
            assert!(usual.contains(&own) && usual.contains(&Fault::RedisFlush));
            assert!(!usual.contains(&Fault::WasKill) && Fault::WasKill.is_possible(redis));
            assert!(!others.is_possible(redis) && !Fault::WasCut.is_possible(redis));
        }
    }

    #[test]
    fn who_is_stopped_or_killed_is_somebody() {
        for fault in Fault::value_variants() {
            let of_somebody = matches!(fault.way(), Way::Kill | Way::Term | Way::Pause | Way::Cut);
            assert_eq!(of_somebody, fault.whom() != Whom::Nobody, "{fault:?}");
            // A pause of no length would be no fault.
            let passes = matches!(fault.way(), Way::Pause | Way::Cut | Way::Tear);
            assert!(!passes || !fault.lasting().is_zero());
        }
    }
}
