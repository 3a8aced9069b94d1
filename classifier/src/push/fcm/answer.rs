//! What FCM's answer means. Pure.
//!
//! Errors are told as Google's APIs do: `error.details` has an object with FCM's own code in
//! `errorCode`, and one with the fields that are wrong. From
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>.

use std::time::Duration;

use serde_json::Value;

use crate::push::verdict::Verdict;

/// How long a quota that is used up is left alone, if FCM does not say.
const QUOTA: Duration = Duration::from_secs(60);

/// The project's access to Apple's or a browser's servers is refused; ours to FCM is not.
const THIRD_PARTY: &str = "THIRD_PARTY_AUTH_ERROR";

/// Whether the access token is good no more.
pub(super) fn forgets_access(status: u16, body: &[u8]) -> bool {
    status == 401 && own_code(&parsed(body)["error"]) != Some(THIRD_PARTY)
}

/// What an answer that is not 2xx means. Only what says that the token is gone removes a device, and
/// only what says that the content itself is wrong is final: everything else is somebody's to put
/// right, or passes.
pub(super) fn judge(status: u16, asked: Option<Duration>, body: &[u8]) -> Verdict {
    let body = parsed(body);
    let error = &body["error"];
    let code = own_code(error);
    let why = match code {
        Some(code) => format!("status {status}, {code}"),
        None => format!("status {status}"),
    };
    match (status, code) {
        (404, Some("UNREGISTERED")) => Verdict::Gone,
        (400, _) if is_about_the_token(error) => Verdict::Gone,
        // The token is another sender's, or the project has no key for Apple's or browsers' servers.
        // The device stays: it may be the key file that is wrong, or the project.
        (400 | 413, _) | (403, Some("SENDER_ID_MISMATCH")) | (401, Some(THIRD_PARTY)) => {
            Verdict::Refused { why }
        }
        (429, _) => Verdict::Again {
            why,
            asked: asked.or(Some(QUOTA)),
        },
        _ => Verdict::Again { why, asked },
    }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

/// FCM's own code, beside the one that all of Google's APIs have.
fn own_code(error: &Value) -> Option<&str> {
    details(error).find_map(|detail| detail["errorCode"].as_str())
}

/// An invalid argument may be the token or anything else in the message: the field that is wrong, or
/// the sentence, says which.
fn is_about_the_token(error: &Value) -> bool {
    let mut fields = details(error)
        .filter_map(|detail| detail["fieldViolations"].as_array())
        .flatten();
    let sentence = error["message"].as_str().unwrap_or_default();
    fields.any(|field| field["field"] == "message.token")
        || own_code(error) == Some("INVALID_ARGUMENT") && sentence.contains("registration token")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(status: u16, message: &str, details: Value) -> Vec<u8> {
        let mut error = json!({ "error": { "code": status, "message": message } });
        error["error"]["details"] = details;
        error.to_string().into_bytes()
    }

    fn fcm(code: &str) -> Value {
        json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": code,
        })
    }

    fn violation(field: &str) -> Value {
        json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": "…" }],
        })
    }

    fn judged(status: u16, details: Value) -> &'static str {
        judge(status, None, &error(status, "…", details)).label()
    }

    /// Both forms that are seen: the sentence, and the field.
    #[test]
    fn a_token_that_is_none_is_gone() {
        let sentence = "The registration token is not a valid FCM registration token";
        let told = error(400, sentence, json!([fcm("INVALID_ARGUMENT")]));
        assert_eq!(judge(400, None, &told), Verdict::Gone);
        let details = json!([fcm("INVALID_ARGUMENT"), violation("message.token")]);
        assert_eq!(judged(400, details), "gone");
        assert_eq!(judged(404, json!([fcm("UNREGISTERED")])), "gone");
    }

    /// A mistake of ours, or of whoever set this up, must not cost a device.
    #[test]
    fn nothing_else_removes_a_device() {
        let value = json!([fcm("INVALID_ARGUMENT"), violation("message.data[0].value")]);
        assert_eq!(judged(400, value), "refused");
        assert_eq!(judged(400, json!([])), "refused");
        assert_eq!(judged(403, json!([fcm("SENDER_ID_MISMATCH")])), "refused");
        let third_party = json!([fcm("THIRD_PARTY_AUTH_ERROR")]);
        assert_eq!(judged(401, third_party), "refused");
        for (status, code) in [
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "NOT_FOUND"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
        ] {
            assert_eq!(judged(status, json!([fcm(code)])), "again", "{code}");
        }
        let page = b"<html>Bad gateway";
        let again = Verdict::again("status 502");
        assert_eq!(judge(502, None, page), again);
    }

    /// It is asked for once an hour, not once a push to a device that Apple's servers refuse.
    #[test]
    fn only_our_own_access_is_forgotten() {
        let forgets =
            |status, code| forgets_access(status, &error(status, "…", json!([fcm(code)])));
        assert!(!forgets(401, "THIRD_PARTY_AUTH_ERROR"));
        assert!(forgets(401, "UNAUTHENTICATED"));
        assert!(forgets_access(401, b"<html>"));
        assert!(!forgets(403, "SENDER_ID_MISMATCH"));
    }

    #[test]
    fn a_quota_is_left_alone_for_as_long_as_it_says() {
        let told = error(429, "…", json!([fcm("QUOTA_EXCEEDED")]));
        let asked = |asked| match judge(429, asked, &told) {
            Verdict::Again { asked, .. } => asked,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(None), Some(QUOTA));
        let second = Some(Duration::from_secs(1));
        assert_eq!(asked(second), second);
    }
}
