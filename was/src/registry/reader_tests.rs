//! Reading goes on whatever becomes of the commits.

use std::sync::Mutex;

use protocol::Address;
use service::metrics::Metrics;
use tokio::sync::oneshot;

use super::*;

const BOUND: Bound = Bound {
    frames: 16,
    bytes: 1 << 20,
};
const PATIENCE: Duration = Duration::from_secs(20);

struct Fed(mpsc::Receiver<Incoming>);

impl ReadFeed for Fed {
    fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError> {
        Ok(self.0.try_recv().ok())
    }

    async fn recv(&mut self) -> Result<Incoming, FeedError> {
        self.0.recv().await.ok_or(FeedError::Removed)
    }
}

fn record(offset: i64, to: Address) -> Incoming {
    let headers = DeliveryHeaders::answer(to).encode().into_iter();
    Incoming {
        partition: 1,
        offset,
        key: None,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        payload: Some(Bytes::from_static(b"{}")),
        timestamp_ms: 0,
    }
}

async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("no {what}"))
}

/// A commit that is not answered (its broker has died) holds up no record, is the only one under
/// way, and does not keep the reader from stopping.
#[tokio::test]
async fn a_commit_under_way_holds_up_nobody() {
    let (feed, records) = mpsc::channel(16);
    let (asked, mut commits) = mpsc::channel(16);
    let (dead, _) = mpsc::channel(1);
    let registry = Arc::new(Registry::default());
    let mailbox = Arc::new(Mailbox::default());
    let address = Address::new_v4();
    registry.enter(UserId::new(1).unwrap(), address, &mailbox);
    let (answer, answered) = oneshot::channel::<()>();
    let first = Mutex::new(Some(answered));
    let stop = CancellationToken::new();
    let reader = Reader {
        feed: Fed(records),
        commit: Box::new(move |next| {
            let (asked, answered) = (asked.clone(), first.lock().unwrap().take());
            async move {
                asked.send(next).await.unwrap();
                match answered {
                    Some(answered) => answered
                        .await
                        .map_err(|_| KafkaError::Client("gone".into())),
                    None => std::future::pending().await,
                }
            }
            .boxed()
        }),
        registry: Arc::clone(&registry),
        observed: Arc::new(Observed::new(&Metrics::new())),
        bound: BOUND,
        dead,
        may_commit: Box::new(|| true),
        stop: stop.clone(),
    };
    let reading = tokio::spawn(reader.run());

    feed.send(record(7, address)).await.unwrap();
    soon("first record", mailbox.ready()).await;
    assert_eq!(mailbox.take().unwrap().len(), 1);
    assert_eq!(soon("commit", commits.recv()).await, Some(8));
    for offset in 8..20 {
        feed.send(record(offset, address)).await.unwrap();
        soon("record while a commit is under way", mailbox.ready()).await;
        assert_eq!(mailbox.take().unwrap().len(), 1);
    }
    // Another is asked for only when the first has ended.
    let second = tokio::time::timeout(COMMIT_EVERY * 2, commits.recv()).await;
    assert!(second.is_err(), "{second:?}");
    answer.send(()).unwrap();
    assert_eq!(soon("second commit", commits.recv()).await, Some(20));
    stop.cancel();
    soon("end", reading).await.unwrap().unwrap();
}
