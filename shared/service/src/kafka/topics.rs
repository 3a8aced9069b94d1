use std::sync::Arc;

/// The names of the topics, under a prefix: tests have one each, so that they share a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    send: Arc<str>,
    signal: Arc<str>,
    receive: Arc<str>,
    push: Arc<str>,
    dlq: Arc<str>,
}

impl Topics {
    /// The names under `prefix`, which may be empty.
    pub fn new(prefix: &str) -> Self {
        Self {
            send: format!("{prefix}chat-send").into(),
            signal: format!("{prefix}chat-signal").into(),
            receive: format!("{prefix}chat-receive").into(),
            push: format!("{prefix}chat-push").into(),
            dlq: format!("{prefix}chat-dlq").into(),
        }
    }

    /// Commands, in lanes by room.
    pub fn send(&self) -> &Arc<str> {
        &self.send
    }

    /// Typing and read marks, in the same lanes.
    pub fn signal(&self) -> &Arc<str> {
        &self.signal
    }

    /// What gateways deliver, one partition a home.
    pub fn receive(&self) -> &Arc<str> {
        &self.receive
    }

    /// Who is to be woken.
    pub fn push(&self) -> &Arc<str> {
        &self.push
    }

    /// What could not be processed.
    pub fn dlq(&self) -> &Arc<str> {
        &self.dlq
    }

    /// All of them.
    pub fn all(&self) -> [&str; 5] {
        [
            &self.send,
            &self.signal,
            &self.receive,
            &self.push,
            &self.dlq,
        ]
    }
}
