//! Postgres: what is stored, who may see it, who may write it.
//!
//! The only user of Postgres. One [`Store`] per process holds the pool; every statement is
//! prepared, named and measured ([`QueryObserver`]) and has a deadline on both sides of the wire.
//!
//! | module | what |
//! | --- | --- |
//! | [`lanes`] | who owns which lane, under which epoch, how far it is |
//! | [`append`] | the one way to write a room's log: a single fenced call |
//! | [`rooms`] | what the classifier loads to decide and to route again |
//! | [`read`] | rooms, members, history, users: what the REST API shows |
//! | [`devices`] | where a user's pushes go |
//! | [`notices`] | what a push says, and to whom |
//! | [`pushes`] | which push worker reads which partition |
//! | [`catchup`] | the one catch-up statement of hello, gap, settle and audit |
//! | [`admin`] | databases for tests and first starts |

pub mod admin;
pub mod append;
pub mod catchup;
mod connect;
pub mod devices;
mod error;
pub mod lanes;
pub mod notices;
mod observe;
mod pool;
pub mod pushes;
pub mod read;
pub mod rooms;
mod row;
mod settings;
mod setup;
mod statement;
mod tls;

pub use append::{AppendError, Batch, LaneAdvance, RoleChanged, StayClosed, StayOpened};
pub use catchup::{Baseline, CatchUpAnswer, CatchUpRequest, RoomCatchUp, Scope};
pub use devices::{Device, MAX_DEVICES};
pub use error::StoreError;
pub use lanes::{Claim, HeldLane, LaneRow, LaneTable, Member};
pub use notices::{Notice, Wanted};
pub use observe::{Outcome, QueryObserver};
pub use pool::{PoolState, Store};
pub use pushes::{PushRow, PushTable};
pub use read::{History, Page, RoomKey, RoomMember, RoomSummary, RoomView};
pub use rooms::{EventKey, FoundEvent, FoundEvents, MarkRaised, MessageTarget, StoredRoom};
pub use settings::StoreSettings;
pub use tls::TlsMode;
