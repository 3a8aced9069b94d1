//! How far the readers of homes are behind what classifiers have sent to them, as metrics.

use std::sync::Arc;
use std::time::Duration;

use service::kafka::{Consumer, Ends, KafkaError};
use service::metrics::Metrics;

/// How long the brokers may take over one question.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Clone)]
pub(crate) struct Behind {
    /// Reads the own home.
    pub(crate) own: Consumer,
    /// Reads stewarded homes. The brokers are asked through it, as its readers are in no hurry.
    pub(crate) stewarded: Consumer,
    /// The topic of the homes.
    pub(crate) topic: Arc<str>,
}

impl Behind {
    /// Adds `was_home_behind` and `was_steward_behind`, and keeps asking where the homes end.
    pub(crate) fn follow(self, metrics: &Metrics) -> impl Future<Output = ()> + Send + use<> {
        let ends = Ends::default();
        metrics.gauges_read(
            "was_home_behind",
            "Records of the own home that were not read yet.",
            "home",
            behind(&self.own, &self.topic, &ends),
        );
        metrics.gauges_read(
            "was_steward_behind",
            "Records of a home without an owner that were not read yet.",
            "home",
            behind(&self.stewarded, &self.topic, &ends),
        );
        let read = self.clone();
        ends.follow(move || read.homes(), move |homes| self.clone().ends(homes))
    }

    /// Every home that is read here.
    fn homes(&self) -> Vec<i32> {
        let mut read = self.own.positions(&self.topic);
        read.extend(self.stewarded.positions(&self.topic));
        read.into_iter().map(|(home, _)| home).collect()
    }

    async fn ends(self, homes: Vec<i32>) -> Result<Vec<(i32, i64)>, KafkaError> {
        self.stewarded.ends(&self.topic, &homes, ASK_WITHIN).await
    }
}

/// How far what a consumer reads is behind.
fn behind(
    consumer: &Consumer,
    topic: &Arc<str>,
    ends: &Ends,
) -> impl Fn() -> Vec<(i32, i64)> + Send + Sync + use<> {
    let (consumer, topic, ends) = (consumer.clone(), Arc::clone(topic), ends.clone());
    move || ends.behind(consumer.positions(&topic))
}
