//! A request's command: produced, then its outcome awaited at an address of our own home.

use std::sync::atomic::Ordering;

use axum::Json;
use protocol::{
    Address, Command, CommandKind, Origin, RejectCode, RoomId, Seq, ServerFrame, UserId, VERSION,
};
use serde::Serialize;
use service::trace::Span;
use utoipa::ToSchema;

use super::bearer::CommandKey;
use super::problem::Problem;
use crate::entry;
use crate::gateway::Gateway;

/// What a carried out command led to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// The room.
    #[schema(value_type = i64)]
    pub(super) room: RoomId,
    /// The seq of the event.
    #[schema(value_type = i64)]
    pub(super) seq: Seq,
}

impl Gateway {
    /// As [`Gateway::carry_out`], for what counts as one request and is answered with its outcome.
    pub(super) async fn change(
        &self,
        sender: UserId,
        room: RoomId,
        key: CommandKey,
        kind: CommandKind,
    ) -> Result<Json<Done>, Problem> {
        self.allow_request(sender)?;
        self.carry_out(sender, room, key, kind).await.map(Json)
    }

    /// Produces a command and waits for its outcome; what did not come in time is looked up.
    pub(super) async fn carry_out(
        &self,
        sender: UserId,
        room: RoomId,
        mut key: CommandKey,
        kind: CommandKind,
    ) -> Result<Done, Problem> {
        let mut span = key.span.take();
        let outcome = self.outcome(sender, room, key, kind, span.as_mut()).await;
        entry::answered(span, &outcome);
        outcome
    }

    async fn outcome(
        &self,
        sender: UserId,
        room: RoomId,
        key: CommandKey,
        kind: CommandKind,
        mut span: Option<&mut Span>,
    ) -> Result<Done, Problem> {
        kind.check()
            .map_err(|invalid| Problem::invalid(invalid.to_string()))?;
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Problem::unavailable("this gateway stops"));
        }
        let held = self.serving.held();
        let held = held.ok_or_else(|| Problem::unavailable("this gateway has no home now"))?;
        let session = Address::new_v4();
        let mut waiter = self.registry.wait_at(session);
        let word = kind.event_kind();
        let command = Command {
            v: VERSION,
            room,
            sender,
            id: key.id,
            retry: key.given,
            at: self.clock.wall_ms(),
            origin: Some(Origin {
                home: held.home,
                session,
            }),
            kind,
        };
        let deadline = tokio::time::Instant::now() + self.outcome_timeout;
        if let Some(span) = &mut span {
            entry::describe(span, &command);
        }
        let taken = match self.commands.produce(&command, span.as_deref()) {
            Some(sending) => self.commands.settle(sending).await,
            None => false,
        };
        if !taken {
            self.observed.refuse(RejectCode::Unavailable);
            return Err(Problem::unknown());
        }
        let answer = tokio::time::timeout_at(deadline, waiter.answer())
            .await
            .ok()
            .flatten();
        let frame = answer.and_then(|frame| serde_json::from_slice::<ServerFrame>(&frame).ok());
        match frame {
            Some(ServerFrame::Stored { room, seq, .. }) => Ok(Done { room, seq }),
            Some(ServerFrame::Rejected { code, message, .. })
                if code != RejectCode::Unavailable =>
            {
                Err(Problem::rejected(code, message))
            }
            _ => {
                let store = self.ask_store().await?;
                let found = store.find_outcome(room, sender, word, key.id).await;
                let found = found.map_err(|_| Problem::unknown())?;
                found
                    .map(|event| Done {
                        room,
                        seq: event.seq,
                    })
                    .ok_or_else(Problem::unknown)
            }
        }
    }
}
