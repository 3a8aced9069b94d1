//! What a client is told that it asked for in vain.

use protocol::{ErrorCode, MessageId, RejectCode, ServerFrame};

use super::message::Output;

/// A command is not taken; `retry_after_ms` when it may be later.
pub(super) fn reject(
    id: MessageId,
    code: RejectCode,
    message: String,
    retry_after_ms: Option<u64>,
) -> Output {
    Output::Send(
        ServerFrame::Rejected {
            id,
            code,
            message,
            retry_after_ms,
        }
        .encode(),
    )
}

/// A frame makes no sense, or not now.
pub(super) fn error(code: ErrorCode, message: String, id: Option<MessageId>) -> Output {
    Output::Send(ServerFrame::Error { code, message, id }.encode())
}
