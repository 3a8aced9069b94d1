//! Tokens that must be refused, and those that must not.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn settings() -> AuthSettings {
    AuthSettings {
        hs256_secret: Some(Secret::new(SECRET)),
        key_file: None,
        jwks_file: None,
        issuer: None,
        audience: None,
        leeway: Duration::from_secs(5),
        dev_tokens: true,
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

#[test]
fn a_token_expired_10_s_ago_is_refused_and_one_of_3_s_ago_is_not() {
    let authority = Authority::new(&settings()).unwrap();
    let token = |ago| signed(&json!({"sub": "7", "exp": now() - ago}), SECRET);
    assert_eq!(authority.verify(&token(10)), Err(Refused::Expired));
    assert_eq!(authority.verify(&token(3)), Ok(UserId::new(7).unwrap()));
}

#[test]
fn wrong_tokens_are_refused() {
    let authority = Authority::new(&settings()).unwrap();
    let exp = now() + 60;
    let other = "another secret of more than 32 bytes";
    for token in [
        String::new(),
        "not a token".to_owned(),
        signed(&json!({"sub": "7", "exp": exp}), other),
        signed(&json!({"sub": "0", "exp": exp}), SECRET),
        signed(&json!({"sub": "-4", "exp": exp}), SECRET),
        signed(&json!({"sub": "ann", "exp": exp}), SECRET),
        signed(&json!({"sub": "7"}), SECRET),
        signed(&json!({"sub": "7", "exp": exp, "nbf": exp}), SECRET),
        // {"alg":"none"} . {"sub":"7","exp":9999999999} . nothing
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3IiwiZXhwIjo5OTk5OTk5OTk5fQ.".to_owned(),
    ] {
        assert_eq!(authority.verify(&token), Err(Refused::Wrong), "{token}");
    }
}

#[test]
fn a_dev_token_is_good_and_only_given_when_allowed() {
    let authority = Authority::new(&settings()).unwrap();
    let user = UserId::new(42).unwrap();
    let now_ms = i64::try_from(now()).unwrap() * 1000;
    let token = authority.dev_token(user, now_ms).unwrap();
    assert_eq!(authority.verify(&token), Ok(user));
    let closed = Authority::new(&AuthSettings {
        dev_tokens: false,
        ..settings()
    })
    .unwrap();
    assert!(closed.dev_token(user, now_ms).is_none());
}

/// Public keys in PEM and JWKS; a token signed with the public key as if it were a secret is
/// refused. The pairs were made for this test only.
#[test]
fn public_keys_check_es256_and_eddsa_and_are_never_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let exp = now() + 60;
    let claims = json!({"sub": "9", "exp": exp});
    for (algorithm, private, public) in [
        (Algorithm::ES256, ES_PRIVATE, ES_PUBLIC),
        (Algorithm::EdDSA, ED_PRIVATE, ED_PUBLIC),
        (Algorithm::RS256, RS_PRIVATE, RS_PUBLIC),
    ] {
        let path = folder.path().join("key.pem");
        std::fs::write(&path, public).unwrap();
        let only_pem = AuthSettings {
            hs256_secret: None,
            key_file: Some(path),
            dev_tokens: false,
            ..settings()
        };
        let authority = Authority::new(&only_pem).unwrap();
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_rsa_pem(private.as_bytes()),
        }
        .unwrap();
        let token = encode(&Header::new(algorithm), &claims, &key).unwrap();
        assert_eq!(
            authority.verify(&token),
            Ok(UserId::new(9).unwrap()),
            "{algorithm:?}"
        );
        assert_eq!(
            authority.verify(&signed(&claims, public)),
            Err(Refused::Wrong)
        );

        let mut jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
        jwk.common.key_id = Some("one".to_owned());
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, serde_json::to_vec(&json!({"keys": [jwk]})).unwrap()).unwrap();
        let only_jwks = AuthSettings {
            hs256_secret: None,
            jwks_file: Some(path),
            dev_tokens: false,
            ..settings()
        };
        let authority = Authority::new(&only_jwks).unwrap();
        let mut header = Header::new(algorithm);
        for (kid, expected) in [
            ("one", Ok(UserId::new(9).unwrap())),
            ("two", Err(Refused::Wrong)),
        ] {
            header.kid = Some(kid.to_owned());
            let token = encode(&header, &claims, &key).unwrap();
            assert_eq!(authority.verify(&token), expected, "{algorithm:?} {kid}");
        }
    }
}

/// Where issuer and audience are set, a token must name them; one that is good for several audiences
/// is good here, and tokens for development have them.
#[test]
fn issuer_and_audience_are_checked_where_they_are_set() {
    let authority = Authority::new(&AuthSettings {
        issuer: Some("house".to_owned()),
        audience: Some("chat".to_owned()),
        ..settings()
    })
    .unwrap();
    let exp = now() + 60;
    for (iss, aud, good) in [
        (json!("house"), json!("chat"), true),
        (json!("house"), json!(["mail", "chat"]), true),
        (json!("house"), json!("mail"), false),
        (json!("yard"), json!("chat"), false),
        (json!("house"), Value::Null, false),
        (Value::Null, json!("chat"), false),
    ] {
        let mut claims = json!({"sub": "7", "exp": exp, "iss": iss, "aud": aud});
        claims.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        let verified = authority.verify(&signed(&claims, SECRET));
        assert_eq!(verified.is_ok(), good, "{claims}");
    }
    let user = UserId::new(42).unwrap();
    let now_ms = i64::try_from(now()).unwrap() * 1000;
    let token = authority.dev_token(user, now_ms).unwrap();
    assert_eq!(authority.verify(&token), Ok(user));
    // Not set: whatever a token says.
    let authority = Authority::new(&settings()).unwrap();
    assert_eq!(authority.verify(&token), Ok(user));
}

/// A key for encryption checks no signatures, and one of another curve is refused when it is read,
/// not with the first token.
#[test]
fn keys_for_something_else_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let only = |jwks: bool| AuthSettings {
        hs256_secret: None,
        key_file: Some(path.clone()).filter(|_| !jwks),
        jwks_file: Some(path.clone()).filter(|_| jwks),
        dev_tokens: false,
        ..settings()
    };
    let key = EncodingKey::from_ec_pem(ES_PRIVATE.as_bytes()).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    for (meant, good) in [
        (PublicKeyUse::Signature, true),
        (PublicKeyUse::Encryption, false),
    ] {
        jwk.common.public_key_use = Some(meant);
        std::fs::write(&path, serde_json::to_vec(&json!({"keys": [jwk]})).unwrap()).unwrap();
        assert_eq!(Authority::new(&only(true)).is_ok(), good);
    }
    std::fs::write(&path, P384_PUBLIC).unwrap();
    let refused = Authority::new(&only(false)).err().unwrap();
    assert!(matches!(refused, KeyError::Curve { .. }), "{refused}");
    assert_eq!(refused.setting(), "auth.key_file");
}

const P384_PUBLIC: &str = include_str!("../../tests/keys/p384.pub");
const ES_PRIVATE: &str = include_str!("../../tests/keys/es.pem");
const ES_PUBLIC: &str = include_str!("../../tests/keys/es.pub");
const ED_PRIVATE: &str = include_str!("../../tests/keys/ed.pem");
const ED_PUBLIC: &str = include_str!("../../tests/keys/ed.pub");
const RS_PRIVATE: &str = include_str!("../../tests/keys/rs.pem");
const RS_PUBLIC: &str = include_str!("../../tests/keys/rs.pub");
