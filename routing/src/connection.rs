//! Redis as the rest of this crate sees it: keys in a name space, scripts where their key is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::PubSub;
use redis::{FromRedisValue, ToRedisArgs};

use crate::observe::RequestObserver;
use crate::operation::Operation;
use crate::place::Place;
use crate::server::Server;
use crate::servers::Servers;
use crate::settings::{RedisSettings, Whereabouts, unusable};

/// A peer that acknowledges nothing for so long is gone. Without it a half-open connection would be
/// used for the quarter of an hour that TCP goes on resending.
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Why something about homes or routes could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// The settings can't be used; nothing was tried.
    #[error("{setting} can't be used: {reason}")]
    Settings {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Redis could not be asked, did not answer in time, or refused. What was asked may have been
    /// done all the same.
    #[error("Redis could not {operation}")]
    Redis {
        /// What was wanted.
        operation: &'static str,
        /// What came instead.
        source: redis::RedisError,
    },
    /// It did not answer a moment ago, and has not since; nothing was tried.
    #[error("Redis does not answer")]
    Away,
    /// Too many wait for Redis already; nothing was tried.
    #[error("there was no turn in time to {operation}")]
    Crowded {
        /// What was wanted.
        operation: &'static str,
    },
    /// Another server has taken the place of the one that answered: whether it knows of what was done
    /// can't be told.
    #[error("another Redis has taken the place of the one that was to {operation}")]
    Replaced {
        /// What was wanted.
        operation: &'static str,
    },
    /// The user has routes of as many devices as one may have; nothing was written.
    #[error("the user has as many routes as one may have")]
    Full,
}

impl RoutingError {
    /// The label of this error in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "settings",
            Self::Redis { source, .. } if source.is_timeout() => "timeout",
            Self::Redis { source, .. } if source.is_io_error() => "unreachable",
            Self::Redis { .. } => "refused",
            Self::Away => "away",
            Self::Crowded { .. } => "crowded",
            Self::Replaced { .. } => "replaced",
            Self::Full => "full",
        }
    }

    /// Whether Redis did not answer, as far as can be told; not that it refused.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self.label(), "timeout" | "unreachable")
    }
}

/// What is for one server.
type Part<I> = (Arc<Server>, Vec<I>);

/// Redis: cheap to clone, shared by all, with many requests under way at once.
#[derive(Clone)]
pub struct Redis {
    servers: Arc<Servers>,
    key_prefix: Arc<str>,
}

impl Redis {
    /// Makes the connections ready to be used; fails only if the settings can't ever work. Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RoutingError::Settings`].
    pub fn connect(settings: &RedisSettings) -> Result<Self, RoutingError> {
        Self::start(settings.understood()?, &settings.key_prefix)
    }

    /// As [`Redis::connect`], for whoever would rather wait than hear that an answer is late: it may take
    /// `within`, instead of half a second. What is asked of several at once, as look-ups are, is given up
    /// as soon as ever.
    ///
    /// # Errors
    /// [`RoutingError::Settings`].
    pub fn connect_patiently(
        settings: &RedisSettings,
        within: Duration,
    ) -> Result<Self, RoutingError> {
        let mut known = settings.understood()?;
        known.way.answer_within = within;
        Self::start(known, &settings.key_prefix)
    }

    /// As [`Redis::connect`], with somebody who is told of every request.
    ///
    /// # Errors
    /// [`RoutingError::Settings`].
    pub fn connect_observed(
        settings: &RedisSettings,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, RoutingError> {
        let mut known = settings.understood()?;
        known.way.observer = Some(observer);
        Self::start(known, &settings.key_prefix)
    }

    fn start(known: Whereabouts, key_prefix: &str) -> Result<Self, RoutingError> {
        let servers = Servers::start(known).map_err(|_| unusable())?;
        Ok(Self {
            servers,
            key_prefix: key_prefix.into(),
        })
    }

    /// A connection for hearing what is published, to whichever server: in a cluster each hears of
    /// what is published on any.
    pub(crate) async fn line(&self) -> Result<PubSub, redis::RedisError> {
        match self.servers.any() {
            Some(server) => server.line().await,
            None => Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into()),
        }
    }

    /// A key inside this installation's name space.
    pub(crate) fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.key_prefix)
    }

    /// Does this with a key of `place`.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        operation: &Operation,
        (place, key): (Place, &str),
        args: impl ToRedisArgs,
    ) -> Result<T, RoutingError> {
        let server = self.servers.found(place).await?;
        let answer = server.run(operation, key, args).await?;
        self.confirm(operation.name, place, &server)?;
        Ok(answer)
    }

    /// Who reads the markers and sees another server there looks for all routes once. What the server
    /// before it acknowledges afterwards would never be looked for again.
    fn confirm(
        &self,
        operation: &'static str,
        place: Place,
        server: &Arc<Server>,
    ) -> Result<(), RoutingError> {
        let now = self.servers.at(place)?;
        if Arc::ptr_eq(&now, server) {
            Ok(())
        } else {
            Err(RoutingError::Replaced { operation })
        }
    }

    /// Waits, at the beginning, until it is known who has which keys.
    pub(crate) async fn found(&self) {
        // Who is away is told by the requests.
        let _ = self.servers.found(Place::Homes).await;
    }

    /// `items` by the server that has the keys of each, and those that nobody is known to have.
    pub(crate) fn by_server<I: Copy>(
        &self,
        items: &[I],
        place: impl Fn(I) -> Place,
    ) -> (Vec<Part<I>>, Vec<I>) {
        let (mut parts, mut nowhere) = (Vec::<Part<I>>::new(), Vec::new());
        for item in items {
            let Ok(server) = self.servers.at(place(*item)) else {
                nowhere.push(*item);
                continue;
            };
            match parts.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &server)) {
                Some((_, part)) => part.push(*item),
                None => parts.push((server, vec![*item])),
            }
        }
        (parts, nowhere)
    }
}
