//! Why brokers do not answer, by the setting to look at.
//!
//! librdkafka answers a question that it could not even put with "timed out"; why, it tells elsewhere (its error
//! callback), in the words of its own settings. What follows gives that reason to whoever waited for the answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::KafkaError;

/// The last reason why a client was not let in.
#[derive(Default)]
pub(super) struct Troubles(Mutex<Option<Trouble>>);

/// A setting, what is wrong with it, and what librdkafka said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    blame: Blame,
    said: String,
}

/// A setting and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) setting: &'static str,
    pub(super) advice: &'static str,
}

/// A question that was not answered.
pub(super) struct Unanswered {
    pub(super) brokers: String,
    pub(super) asked: String,
    pub(super) waited: Duration,
    pub(super) last: String,
}

impl Troubles {
    /// Hears what librdkafka said.
    pub(super) fn hear(&self, blame: Blame, said: &str) {
        *self.lock() = Some(Trouble {
            blame,
            said: said.to_owned(),
        });
    }

    /// Brokers have answered: what was wrong is not any more.
    pub(super) fn over(&self) {
        *self.lock() = None;
    }

    /// Says why there was no answer.
    pub(super) fn explain(&self, unanswered: Unanswered) -> KafkaError {
        let Unanswered {
            brokers,
            asked,
            waited,
            last,
        } = unanswered;
        match self.lock().clone() {
            Some(Trouble { blame, said }) => KafkaError::NotLetIn {
                setting: blame.setting,
                advice: blame.advice,
                asked,
                waited,
                brokers,
                said,
            },
            None => KafkaError::Unreachable {
                brokers,
                asked,
                waited,
                last,
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PROTOCOL: Blame = Blame {
    setting: "kafka.security_protocol",
    advice: "the broker's listener speaks another one: ssl and sasl_ssl are for listeners with TLS, sasl_* for those that want a login",
};
const AUTHORITY: Blame = Blame {
    setting: "kafka.ca_file",
    advice: "none of its authorities (without it: the system's) has signed the broker's certificate, or that is for another name than the one in kafka.brokers, or has expired",
};
const IDENTITY: Blame = Blame {
    setting: "kafka.certificate_file",
    advice: "the broker wants a certificate of the client's, or does not take this one: have it signed by an authority that the broker knows, and look whether it has expired",
};
const MECHANISM: Blame = Blame {
    setting: "kafka.sasl_mechanism",
    advice: "the broker has not got it: choose one that it names",
};
const LOGIN: Blame = Blame {
    setting: "kafka.sasl_username, kafka.sasl_password",
    advice: "the broker does not let this user in: look whether it is there, has this password, and has it for kafka.sasl_mechanism",
};

/// What in librdkafka's words tells whom to blame, first come first. The words are of librdkafka 2.12, OpenSSL 3 and Kafka 4;
/// tests with a real broker notice when they change.
const WORDS: [(&str, Blame); 12] = [
    ("certificate verify failed", AUTHORITY),
    ("Failed to verify broker certificate", AUTHORITY),
    ("PLAINTEXT broker listener", PROTOCOL),
    ("wrong version number", PROTOCOL),
    ("incorrect security.protocol", PROTOCOL),
    ("verify that security.protocol", PROTOCOL),
    ("client SSL authentication might be required", IDENTITY),
    // "tlsv13 alert certificate required", "sslv3 alert bad certificate", "alert certificate unknown", …
    ("certificate required", IDENTITY),
    ("alert bad certificate", IDENTITY),
    ("alert certificate", IDENTITY),
    ("alert unknown ca", IDENTITY),
    ("mechanism handshake failed", MECHANISM),
];

/// Whom to blame for an error, if a setting is.
pub(super) fn blame(code: Option<Code>, said: &str) -> Option<Blame> {
    let found = WORDS.iter().find(|(words, _)| said.contains(words));
    match (found, code) {
        (Some((_, blame)), _) => Some(*blame),
        (None, Some(Code::Authentication)) => Some(LOGIN),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is nobody's setting must not be blamed on one: brokers that are away, or restart.
    #[test]
    fn only_what_a_setting_can_mend_is_blamed_on_it() {
        for said in [
            "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            "1/1 brokers are down",
            "127.0.0.1:1/1: Disconnected (after 12000ms in state UP)",
        ] {
            assert_eq!(blame(Some(Code::BrokerTransportFailure), said), None);
        }
        let said = "sasl_ssl://h:1/1: SASL authentication error: Authentication failed";
        assert_eq!(blame(Some(Code::Authentication), said), Some(LOGIN));
    }

    #[test]
    fn an_answer_ends_the_trouble() {
        let troubles = Troubles::default();
        let unanswered = || Unanswered {
            brokers: "h:1".to_owned(),
            asked: "a question".to_owned(),
            waited: Duration::from_secs(1),
            last: "timed out".to_owned(),
        };
        troubles.hear(LOGIN, "no such user");
        let told = troubles.explain(unanswered()).to_string();
        assert!(told.starts_with("kafka.sasl_username"), "{told}");
        assert!(told.contains("no such user"), "{told}");
        troubles.over();
        let told = troubles.explain(unanswered()).to_string();
        assert!(told.starts_with("kafka.brokers = h:1"), "{told}");
    }
}
