//! Where a client's events go.

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::event::{Arrival, Event};

/// A queue for programs that await events, or a function called on the connection's own task for those who have
/// thousands of connections and no use for a second task each.
pub(crate) enum Output {
    Queue(mpsc::Sender<Arrival>),
    Handler(Box<dyn FnMut(Arrival) + Send>),
}

impl Output {
    /// False when nobody listens any more. A full queue leaves the socket unread: the server's bounded queue then says
    /// what happens to a reader that is too slow.
    pub(crate) async fn tell(&mut self, event: Event, stop: &CancellationToken) -> bool {
        let arrival = Arrival {
            at: Instant::now(),
            event,
        };
        match self {
            Self::Handler(handler) => {
                handler(arrival);
                true
            }
            Self::Queue(queue) => match queue.try_send(arrival) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(arrival)) => tokio::select! {
                    sent = queue.send(arrival) => sent.is_ok(),
                    () = stop.cancelled() => false,
                },
            },
        }
    }
}

/// A client's events, in the order they came.
#[derive(Debug)]
pub struct Events(pub(crate) mpsc::Receiver<Arrival>);

impl Events {
    /// The next event; none after [`Event::Stopped`].
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await.map(|arrival| arrival.event)
    }
}
