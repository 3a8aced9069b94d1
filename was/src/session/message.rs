//! What goes into a session and what comes out of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{
    ClientFrame, CloseCode, Command, ErrorCode, Home, MessageId, RejectCode, RoomId, Seq,
    SignalRecord, UserId,
};

use super::order::Rooms;
use crate::custody::Round;

/// The time, passed in.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub tick: Instant,
    /// For `at`: ms since 1970.
    pub wall_ms: i64,
}

/// A `hello` whose token was verified.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Whom the token names.
    pub user: UserId,
    /// The home on which answers to this session arrive.
    pub home: Home,
    /// The last seq seen, by room; sorted by room.
    pub cursors: Vec<(RoomId, Seq)>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The first frame, verified.
    Hello(Hello),
    /// A `hello` that can't be accepted.
    Refused(CloseCode),
    /// Any other frame, and whether its user may send it now or must wait.
    Frame(ClientFrame, Result<(), Duration>),
    /// A text that is no frame.
    Malformed(ErrorCode, String),
    /// A pong came, with this count.
    Pong(u64),
    /// All that the home's reader had queued in rounds before this one was taken; said before
    /// [`Tick`](Self::Tick), as only that is confirmed by the pong of a ping that goes out now.
    Turned(Round),
    /// Said as [`Turned`](Self::Turned), when the reader keeps too much that is unconfirmed: ping
    /// now.
    Press(Round),
    /// The socket or the house ends the session.
    End(CloseCode),
    /// The gateway stops: come back after so many ms.
    Drain(u64),
    /// Routes were lost, or lead to a claim that has ended: this one is written again, to the home
    /// as it is claimed now, and what was missed meanwhile is read.
    Rebuild(Home),
    /// What became of the route's write.
    RouteWritten(Written),
    /// The answer to query `number`; none when it could not be read.
    Answered {
        /// Which query.
        number: u32,
        /// What it found.
        answer: Option<Answer>,
    },
    /// An event of the room's log, from the home.
    Live {
        /// The room.
        room: RoomId,
        /// Its number there.
        seq: Seq,
        /// The frame as clients get it; none in a record that only says that it exists: whoever has
        /// not seen it reads it from Postgres.
        frame: Option<Bytes>,
        /// The reader's round, if it keeps custody of the record.
        round: Option<Round>,
    },
    /// A frame of a room that has no seq (trap 13).
    Signal(Bytes),
    /// An answer to this session alone.
    Direct(Bytes),
    /// Kafka has acknowledged the command, or not in time.
    Produced(MessageId, bool),
    /// A deadline may have passed.
    Tick,
}

/// Why a route is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writing {
    /// For a new session: whoever had the device before is closed.
    First,
    /// The audit makes sure that it stands.
    Audit,
    /// It was lost with others, or its home was claimed anew.
    Rebuild,
}

/// What became of a route's write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It could not be written: Redis is away.
    Failed,
    /// It may not be written: the user has as many as one may have.
    Full,
    /// It stands, acknowledged.
    Stands,
    /// It had been lost, and stands again: who looked it up meanwhile did not find it.
    Restored,
}

/// What a session asks: what is above these cursors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// The number to answer with.
    pub number: u32,
    /// It is the hello's.
    pub first: bool,
    /// About which rooms.
    pub rooms: Rooms,
    /// The last seq seen, by room.
    pub cursors: Vec<(RoomId, Option<Seq>)>,
    /// Read marks are wanted too.
    pub marks: bool,
}

/// What a catch-up query found for one session.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The user's rooms, and those left since the cursor.
    pub rooms: Vec<RoomAnswer>,
}

/// What was found in one room.
#[derive(Debug, Clone)]
pub struct RoomAnswer {
    /// The room.
    pub room: RoomId,
    /// What was taken as the cursor.
    pub from: Seq,
    /// The cursor was above the head and has been lowered to it.
    pub clamped: bool,
    /// The highest seq that the user may see.
    pub head: Seq,
    /// More was missed than is replayed: the first and last that is not.
    pub gap: Option<(Seq, Seq)>,
    /// Events above the cursor, in order.
    pub events: Vec<(Seq, Bytes)>,
    /// Read marks, as frames.
    pub marks: Vec<Bytes>,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send an event of a room's log.
    Deliver(Bytes),
    /// Send any other frame.
    Send(Bytes),
    /// Send a ping with this count.
    Ping(u64),
    /// Tell the home's reader that the client has received all up to this round.
    Confirmed {
        /// The round.
        upto: Round,
        /// Records dropped as already seen since this was told last.
        seen: u64,
    },
    /// Enter the session in the registry: from here on live frames arrive.
    Register(UserId),
    /// Write the route; answer with [`Input::RouteWritten`]. One is under way at a time.
    WriteRoute(Writing),
    /// Ask; answer with [`Input::Answered`].
    Query(Query),
    /// Produce; answer with [`Input::Produced`].
    Produce(Box<Command>),
    /// Produce, unanswered.
    Signal(SignalRecord),
    /// Close the socket with this code.
    Close(CloseCode),
    /// Count: a record was dropped as already seen.
    Seen,
    /// Count: a hole was noticed and is read from Postgres.
    Gap,
    /// Count: held frames overflowed and are read from Postgres.
    HeldOverflow,
    /// Count: a command was refused at the door.
    Refused(RejectCode),
    /// Count: the audit found so many events.
    Audited(usize),
}
