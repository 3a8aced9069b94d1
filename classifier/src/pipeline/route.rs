//! After the commit: each event goes to the homes of its recipients, one record per event and home,
//! or to `chat-push` for those without a route. Those of whom nothing is known are looked for by all
//! gateways, and by `chat-push`. In the order of the commits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use protocol::{DeliveryHeaders, Event, Home, MAX_RECIPIENTS_PER_RECORD, PushRecord, UserId};
use service::trace::{self, Span};
use tokio::sync::mpsc;

use super::context::Context;
use super::decide::{Recipients, Step};
use super::progress::Progress;
use super::queue::{Queued, queue_all};
use crate::ports::{Outgoing, Outside, Sink, Whereabouts};

/// A batch that was committed; from here on it may be seen (I3).
pub struct Committed {
    /// When.
    pub at: Instant,
    /// Its events, in the order of the steps that deliver them.
    pub events: Vec<Event>,
    /// What to do.
    pub steps: Vec<Step>,
    /// How far it takes each lane.
    pub upto: Vec<(Arc<Progress>, i64)>,
    /// What is traced of it, by rising steps.
    pub traced: Vec<Traced>,
}

/// Steps that follow from one record that is traced.
pub struct Traced {
    /// Which.
    pub steps: Range<usize>,
    /// Ends when all that follows from them is queued.
    pub span: Span,
}

/// The most pushes of one event that are traced: in a large group, more of the same.
const TRACED_PUSHES: usize = 20;

/// One thing to send.
enum Item {
    /// An event, to whoever may see it; and its answer.
    Event(Box<Event>, Recipients, Option<Outgoing>),
    /// A record whose place does not depend on routes.
    Record(Outgoing),
}

/// The most records of a piece. A batch may have millions, of messages to large groups of whom nobody is
/// connected: they are never in memory together.
pub const PIECE: usize = 10_000;

/// A piece of a batch, whose records are queued.
pub struct Sent {
    /// What is to be waited for, in order.
    pub records: Vec<Queued>,
    /// With the last piece of the batch.
    pub end: Option<End>,
}

/// What is so once all pieces of a batch are acknowledged.
pub struct End {
    /// When it was committed.
    pub at: Instant,
    /// How far it takes each lane.
    pub upto: Vec<(Arc<Progress>, i64)>,
}

/// Routes batches as they are committed, without waiting for acknowledgements: those are
/// [`settle`](super::settle)'s. Ends when the worker has.
pub async fn run<O: Outside>(
    context: Arc<Context<O>>,
    mut committed: mpsc::Receiver<Committed>,
    out: mpsc::Sender<Sent>,
) {
    while let Some(batch) = committed.recv().await {
        let items = items(batch.events, batch.steps);
        let homes = homes_of(&context, &items).await;
        let (at, upto, traced) = (batch.at, batch.upto, batch.traced);
        // Made one item at a time: when there is no room, the rest is not in memory twice.
        let records = items.into_iter().enumerate().flat_map(|(step, item)| {
            let mut records = records(item, &homes);
            trace_all(&mut records, under(&traced, step));
            records
        });
        let mut records = records.peekable();
        let mut end = Some(End { at, upto });
        while end.is_some() {
            let piece = records.by_ref().take(PIECE);
            let Ok(piece) = queue_all(&context, piece).await else {
                return;
            };
            let sent = Sent {
                records: piece,
                end: end.take_if(|_| records.peek().is_none()),
            };
            if out.send(sent).await.is_err() {
                return;
            }
        }
        drop(records);
        traced.into_iter().for_each(|one| one.span.end());
    }
}

/// The span that a step is traced under.
fn under(traced: &[Traced], step: usize) -> Option<trace::Context> {
    let before = traced.partition_point(|one| one.steps.end <= step);
    let found = traced.get(before)?;
    found.steps.contains(&step).then(|| found.span.context())
}

/// Notes on an item's records under which span they are sent. None of those for `chat-dlq`, which stay.
fn trace_all(records: &mut [Outgoing], under: Option<trace::Context>) {
    if under.is_none() {
        return;
    }
    let mut pushes = 0;
    for record in records {
        pushes += usize::from(record.sink == Sink::Push);
        record.trace = match record.sink {
            Sink::Home(_) | Sink::Broadcast => under,
            Sink::Push => under.filter(|_| pushes <= TRACED_PUSHES),
            Sink::Dlq => None,
        };
    }
}

fn items(events: Vec<Event>, steps: Vec<Step>) -> Vec<Item> {
    let mut events = events.into_iter();
    steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Stored(recipients, answer) => {
                let event = Box::new(events.next()?);
                Some(Item::Event(event, recipients, answer))
            }
            Step::Again(event, recipients, answer) => Some(Item::Event(event, recipients, answer)),
            Step::Send(record) => Some(Item::Record(record)),
        })
        .collect()
}

/// Where all recipients are, read after the commit (I3, I4). Nothing is waited for: lanes go on while
/// Redis is away.
async fn homes_of<O: Outside>(context: &Context<O>, items: &[Item]) -> Whereabouts {
    let mut users: Vec<UserId> = Vec::new();
    for item in items {
        if let Item::Event(_, recipients, _) = item {
            users.extend_from_slice(recipients);
        }
    }
    users.sort_unstable();
    users.dedup();
    if users.is_empty() {
        return Whereabouts::default();
    }
    context.homes_of(&users).await
}

/// An item's records.
fn records(item: Item, homes: &Whereabouts) -> Vec<Outgoing> {
    match item {
        Item::Record(record) => vec![record],
        Item::Event(event, recipients, answer) => {
            let mut records = deliver(&event, &recipients, homes);
            records.extend(answer);
            records
        }
    }
}

/// One record per home of the recipients, and a push for each who has none. For those of whom nothing is
/// known, one record to all gateways, who are blind to whoever is not theirs, and a push for each that
/// is told only if nobody finds him connected (trap 10).
pub fn deliver(event: &Event, recipients: &[UserId], homes: &Whereabouts) -> Vec<Outgoing> {
    let mut records = Vec::new();
    let mut by_home: BTreeMap<Home, Vec<UserId>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for user in recipients {
        // The sender is never pushed (I8).
        let is_sender = *user == event.from;
        match homes.of(*user) {
            Some([]) if is_sender => {}
            Some([]) => {
                let absent = PushRecord::absent(*user, event.room, event.seq);
                records.push(push(&absent));
            }
            Some(homes) => {
                for home in homes {
                    by_home.entry(*home).or_default().push(*user);
                }
            }
            None => {
                unknown.push(*user);
                if !is_sender {
                    let check = PushRecord::check(*user, event.room, event.seq);
                    records.push(push(&check));
                }
            }
        }
    }
    if by_home.is_empty() && unknown.is_empty() {
        return records;
    }
    // Serialised once: the same bytes for every home, and on every socket.
    let frame = event.to_frame();
    let mut send = |sink: Sink, users: &[UserId], blind: bool| {
        for users in users.chunks(MAX_RECIPIENTS_PER_RECORD) {
            let headers = DeliveryHeaders {
                blind,
                ..DeliveryHeaders::event(event.room, event.seq, users.to_vec())
            };
            records.push(Outgoing {
                sink,
                key: None,
                headers: headers.encode(),
                payload: Some(frame.clone()),
                trace: None,
            });
        }
    };
    for (home, users) in by_home {
        send(Sink::Home(home), &users, false);
    }
    send(Sink::Broadcast, &unknown, true);
    records
}

fn push(record: &PushRecord) -> Outgoing {
    Outgoing {
        sink: Sink::Push,
        key: Some(record.key()),
        headers: Vec::new(),
        payload: Some(record.encode()),
        trace: None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{RoomId, Seq};
    use service::metrics::Metrics;
    use service::settings::Values;
    use service::trace::{Kind, TraceSettings, Traces, Who};

    use super::*;

    fn record(sink: Sink) -> Outgoing {
        let (room, seq) = (RoomId::new(1).unwrap(), Seq::new(1).unwrap());
        let user = UserId::new(2).unwrap();
        Outgoing {
            sink,
            ..push(&PushRecord::absent(user, room, seq))
        }
    }

    /// Of a batch only what follows from traced records is traced; nothing that stays in `chat-dlq`, and of a
    /// large group's pushes only the first ones.
    #[tokio::test]
    async fn each_record_is_sent_under_the_span_of_what_it_follows_from() {
        let flags = ["--trace-endpoint=http://127.0.0.1:1", "--trace-sample=1"];
        let flags = flags.map(Into::into);
        let mut values = Values::load_from(&[TraceSettings::KEYS], &[], flags, []);
        let settings = TraceSettings::read(&mut values);
        let who = Who {
            service: "test",
            instance: "test",
        };
        // Nothing ends, so nothing is sent.
        let traces = Traces::start(&settings, who, &Metrics::new()).unwrap();
        let traced = [1..3, 3..3, 5..6].map(|steps| {
            let span = traces.tracer().enter(None, Kind::Server, String::new);
            let span = span.unwrap();
            Traced { steps, span }
        });
        let found: Vec<_> = (0..7).map(|step| under(&traced, step)).collect();
        let [first, _, last] = &traced;
        let (first, last) = (Some(first.span.context()), Some(last.span.context()));
        assert_eq!(found, [None, first, first, None, None, last, None]);

        let sinks = [Sink::Home(Home(3)), Sink::Broadcast, Sink::Dlq];
        let mut records: Vec<_> = sinks.into_iter().map(record).collect();
        records.extend((0..30).map(|_| record(Sink::Push)));
        trace_all(&mut records, None);
        assert!(records.iter().all(|record| record.trace.is_none()));
        trace_all(&mut records, first);
        let traced = |sink| {
            let of = records.iter().filter(|record| record.sink == sink);
            of.filter(|record| record.trace == first).count()
        };
        let counts = [traced(sinks[0]), traced(sinks[1]), traced(sinks[2])];
        assert_eq!((counts, traced(Sink::Push)), ([1, 1, 0], TRACED_PUSHES));
    }
}
