//! What is sent to a device. Pure.
//!
//! A push may come twice, so each says which message it is, as `ROOM:SEQ`, in the way by which its
//! platform lets a later notification replace an earlier one. Android's `collapse_key` is not that
//! way: a device that is offline keeps at most four of them, whichever, and would lose the others.

use protocol::{Platform, format_ms};
use serde_json::{Value, json};
use store::Device;

use crate::push::told::Told;

/// The request for one device and one push.
pub(super) fn message(device: &Device, told: &Told) -> Value {
    let (room, seq) = (told.room, told.seq);
    let id = format!("{room}:{seq}");
    let mut notification = json!({ "body": told.notice.preview });
    if !told.sender_name.is_empty() {
        notification["title"] = json!(told.sender_name);
    }
    let mut message = json!({
        "token": device.token.expose(),
        "notification": notification,
        // Texts only: FCM takes nothing else.
        "data": {
            "room": room.to_string(),
            "seq": seq.to_string(),
            "sender": told.notice.sender.to_string(),
            "sender_name": told.sender_name,
            "at": format_ms(told.notice.at),
        },
    });
    match device.platform {
        Platform::Android => {
            message["android"] = json!({ "priority": "high", "notification": { "tag": id } });
        }
        Platform::Ios => {
            let headers = json!({ "apns-collapse-id": id, "apns-priority": "10" });
            message["apns"] = json!({ "headers": headers });
        }
        Platform::Web => {
            // A topic has the letters of base64url only (RFC 8030), and at most 32 of them.
            let topic = format!("{:x}-{:x}", room.get(), seq.get());
            let headers = json!({ "Topic": topic, "Urgency": "high" });
            message["webpush"] = json!({ "headers": headers, "notification": { "tag": id } });
        }
    }
    json!({ "message": message })
}

#[cfg(test)]
mod tests {
    use protocol::{DeviceToken, MAX_ID, RoomId, Seq, UserId};
    use store::Notice;

    use super::*;

    fn told(room: i64, seq: i64, name: &str) -> Told {
        Told {
            room: RoomId::new(room).unwrap(),
            seq: Seq::new(seq).unwrap(),
            notice: Notice {
                sender: UserId::new(1).unwrap(),
                preview: "hi".into(),
                at: 0,
            },
            sender_name: name.into(),
        }
    }

    fn device(platform: Platform) -> Device {
        Device {
            id: 1,
            platform,
            token: DeviceToken::try_from("T".to_owned()).ok().unwrap(),
            since: 0,
        }
    }

    #[test]
    fn a_message_says_what_and_which() {
        let sent = message(&device(Platform::Android), &told(7, 4, "ann"));
        assert_eq!(
            sent,
            json!({"message": {
                "token": "T",
                "notification": {"title": "ann", "body": "hi"},
                "data": {"room": "7", "seq": "4", "sender": "1", "sender_name": "ann",
                         "at": "1970-01-01T00:00:00.000Z"},
                "android": {"priority": "high", "notification": {"tag": "7:4"}},
            }})
        );
        let nameless = message(&device(Platform::Web), &told(7, 4, ""));
        assert_eq!(nameless["message"]["notification"], json!({"body": "hi"}));
    }

    /// A push that comes twice is shown once.
    #[test]
    fn each_platform_is_told_which_one_it_replaces() {
        let one = told(MAX_ID, MAX_ID, "ann");
        let part = |platform, path: &str| {
            let sent = message(&device(platform), &one);
            sent.pointer(path).unwrap().as_str().unwrap().to_owned()
        };
        let id = format!("{MAX_ID}:{MAX_ID}");
        let tag = "/message/android/notification/tag";
        assert_eq!(part(Platform::Android, tag), id);
        let collapse = part(Platform::Ios, "/message/apns/headers/apns-collapse-id");
        assert_eq!(collapse, id);
        assert!(collapse.len() <= 64);
        let tag = "/message/webpush/notification/tag";
        assert_eq!(part(Platform::Web, tag), id);
        let topic = part(Platform::Web, "/message/webpush/headers/Topic");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(topic.len() <= 32 && topic.bytes().all(fits), "{topic}");
    }
}
