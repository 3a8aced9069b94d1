//! The REST API, as far as bots and tests need it.

use std::time::Duration;

use protocol::{MessageId, Role, RoomId, RoomKind, Seq, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::answers::{DevToken, History, RoomSummary, RoomView};

/// How many rooms are asked for at once; a page with fewer is the last one.
const ROOMS_AT_ONCE: usize = 500;

/// A gateway's REST API, for one user once it has a token. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// The token is a secret: it is not shown.
impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No answer, or one that can't be read.
    #[error("no usable answer")]
    Transport(#[from] reqwest::Error),
    /// Refused, with the problem as the server told it (RFC 9457).
    #[error("HTTP {status}: {problem}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem's body.
        problem: String,
    },
}

impl RestError {
    /// The HTTP status, when there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Transport(error) => error.status().map(|status| status.as_u16()),
        }
    }
}

/// Which page of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The oldest ones after that seq.
    After(Seq),
    /// The newest ones before that seq.
    Before(Seq),
}

impl Rest {
    /// An API at `http://host:port`.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let base = base
            .into()
            .replacen("ws://", "http://", 1)
            .trim_end_matches('/')
            .to_owned();
        // The default is the same client without a time limit.
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap_or_default();
        Self {
            http,
            base,
            token: None,
        }
    }

    /// The same API and connections for another user.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The token in use.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A development token for a name; makes the user when new.
    ///
    /// # Errors
    /// See [`RestError`], like all calls.
    pub async fn dev_token(&self, name: &str) -> Result<DevToken, RestError> {
        self.call(
            self.http
                .post(self.at("/v1/dev/token"))
                .json(&serde_json::json!({ "user": name })),
        )
        .await
    }

    /// Makes a group, or finds or makes the direct room of a pair. A repeat with the same key names the same room.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn create_room(
        &self,
        kind: RoomKind,
        name: &str,
        members: &[UserId],
        key: MessageId,
    ) -> Result<RoomId, RestError> {
        #[derive(Serialize)]
        struct Body<'a> {
            kind: RoomKind,
            #[serde(skip_serializing_if = "str::is_empty")]
            name: &'a str,
            members: &'a [UserId],
        }
        #[derive(Deserialize)]
        struct Created {
            room: RoomId,
        }
        let request = self.http.post(self.at("/v1/rooms")).json(&Body {
            kind,
            name,
            members,
        });
        Ok(self.call::<Created>(keyed(request, key)).await?.room)
    }

    /// The caller's rooms, by id: all of them, page by page.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn rooms(&self) -> Result<Vec<RoomSummary>, RestError> {
        #[derive(Deserialize)]
        struct Rooms {
            rooms: Vec<RoomSummary>,
        }
        let mut all: Vec<RoomSummary> = Vec::new();
        loop {
            let after = all
                .last()
                .map_or(String::new(), |last| format!("&after={}", last.room));
            let path = self.at(&format!("/v1/rooms?limit={ROOMS_AT_ONCE}{after}"));
            let page = self.call::<Rooms>(self.http.get(path)).await?.rooms;
            let last = page.len() < ROOMS_AT_ONCE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// One room with its members.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn room(&self, room: RoomId) -> Result<RoomView, RestError> {
        self.call(self.http.get(self.at(&format!("/v1/rooms/{room}"))))
            .await
    }

    /// Another name for a group.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn rename(&self, room: RoomId, name: &str, key: MessageId) -> Result<(), RestError> {
        let request = self.http.patch(self.at(&format!("/v1/rooms/{room}")));
        self.done(request.json(&serde_json::json!({ "name": name })), key)
            .await
    }

    /// Deletes a group for everyone.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn delete_room(&self, room: RoomId, key: MessageId) -> Result<(), RestError> {
        self.done(self.http.delete(self.at(&format!("/v1/rooms/{room}"))), key)
            .await
    }

    /// Adds a member.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn add_member(
        &self,
        room: RoomId,
        user: UserId,
        key: MessageId,
    ) -> Result<(), RestError> {
        let request = self
            .http
            .post(self.at(&format!("/v1/rooms/{room}/members")));
        self.done(request.json(&serde_json::json!({ "user": user })), key)
            .await
    }

    /// Removes a member; oneself: leaves.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn remove_member(
        &self,
        room: RoomId,
        user: UserId,
        key: MessageId,
    ) -> Result<(), RestError> {
        self.done(
            self.http
                .delete(self.at(&format!("/v1/rooms/{room}/members/{user}"))),
            key,
        )
        .await
    }

    /// Another role for a member.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn set_role(
        &self,
        room: RoomId,
        user: UserId,
        role: Role,
        key: MessageId,
    ) -> Result<(), RestError> {
        let request = self
            .http
            .patch(self.at(&format!("/v1/rooms/{room}/members/{user}")));
        self.done(request.json(&serde_json::json!({ "role": role })), key)
            .await
    }

    /// A page of a room's log.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn history(
        &self,
        room: RoomId,
        page: Page,
        limit: u16,
    ) -> Result<History, RestError> {
        let (way, seq) = match page {
            Page::After(seq) => ("after", seq),
            Page::Before(seq) => ("before", seq),
        };
        self.call(self.http.get(self.at(&format!(
            "/v1/rooms/{room}/messages?{way}={seq}&limit={limit}"
        ))))
        .await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, RestError> {
        Ok(self.answer(request).await?.json().await?)
    }

    async fn done(
        &self,
        request: reqwest::RequestBuilder,
        key: MessageId,
    ) -> Result<(), RestError> {
        self.answer(keyed(request, key)).await.map(drop)
    }

    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, RestError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = response.text().await.unwrap_or_default();
        Err(RestError::Refused {
            status: status.as_u16(),
            problem,
        })
    }
}

fn keyed(request: reqwest::RequestBuilder, key: MessageId) -> reqwest::RequestBuilder {
    request.header("idempotency-key", key.to_string())
}
