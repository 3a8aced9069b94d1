//! The keys that tokens are checked with, read once at the start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use service::settings::Secret;

/// Where keys come from, and how exactly times are taken.
#[derive(Clone)]
pub struct AuthSettings {
    /// A shared secret for HS256.
    pub hs256_secret: Option<Secret>,
    /// A public key in PEM: RSA, P-256 or Ed25519.
    pub key_file: Option<PathBuf>,
    /// A JWKS document.
    pub jwks_file: Option<PathBuf>,
    /// The `iss` that every token must have.
    pub issuer: Option<String>,
    /// The `aud` that every token must have, maybe among others.
    pub audience: Option<String>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// Whether `POST /v1/dev/token` gives tokens to whoever asks.
    pub dev_tokens: bool,
}

/// Why keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no key that can be used.
    #[error("{path} holds no public key for RS256, ES256 or EdDSA")]
    NoKey {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// An elliptic curve key for another algorithm than ES256.
    #[error("the key in {path} is not on the curve P-256, as ES256 needs it")]
    Curve {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Nothing to check tokens with.
    #[error("none of auth.hs256_secret, auth.key_file and auth.jwks_file is set")]
    None,
}

/// The length of an uncompressed point on P-256: a tag and two coordinates of 32 bytes.
const P256_POINT: usize = 65;

impl KeyError {
    /// The setting that is to be corrected.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Unreadable { setting, .. }
            | Self::NoKey { setting, .. }
            | Self::Curve { setting, .. } => setting,
            Self::None => "auth.hs256_secret",
        }
    }
}

pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// All keys. Without `Debug`: they may be secret.
pub struct Keys(pub(super) Vec<Key>);

impl Keys {
    /// Reads them.
    pub fn read(settings: &AuthSettings) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        if let Some(secret) = &settings.hs256_secret {
            let key = DecodingKey::from_secret(secret.expose().as_bytes());
            keys.push(Key {
                id: None,
                algorithm: Algorithm::HS256,
                key,
            });
        }
        if let Some(path) = &settings.key_file {
            keys.push(pem(path)?);
        }
        if let Some(path) = &settings.jwks_file {
            keys.extend(jwks(path)?);
        }
        if keys.is_empty() {
            Err(KeyError::None)
        } else {
            Ok(Self(keys))
        }
    }
}

fn file(setting: &'static str, path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|source| KeyError::Unreadable {
        setting,
        path: path.to_owned(),
        source,
    })
}

fn pem(path: &Path) -> Result<Key, KeyError> {
    let setting = "auth.key_file";
    let text = file(setting, path)?;
    let key = DecodingKey::from_rsa_pem(&text)
        .map(|key| (Algorithm::RS256, key))
        .or_else(|_| DecodingKey::from_ec_pem(&text).map(|key| (Algorithm::ES256, key)))
        .or_else(|_| DecodingKey::from_ed_pem(&text).map(|key| (Algorithm::EdDSA, key)));
    let path = path.to_owned();
    let Ok((algorithm, key)) = key else {
        return Err(KeyError::NoKey { setting, path });
    };
    let fits = |key: &DecodingKey| {
        key.try_get_as_bytes()
            .is_ok_and(|point| point.len() == P256_POINT)
    };
    if algorithm == Algorithm::ES256 && !fits(&key) {
        return Err(KeyError::Curve { setting, path });
    }
    Ok(Key {
        id: None,
        algorithm,
        key,
    })
}

fn jwks(path: &Path) -> Result<Vec<Key>, KeyError> {
    let setting = "auth.jwks_file";
    let none = || KeyError::NoKey {
        setting,
        path: path.to_owned(),
    };
    let set: JwkSet = serde_json::from_slice(&file(setting, path)?).map_err(|_| none())?;
    let keys: Vec<Key> = set.keys.iter().filter_map(from_jwk).collect();
    if keys.is_empty() {
        Err(none())
    } else {
        Ok(keys)
    }
}

/// None for keys of other algorithms and for other uses: a document may hold them for others.
fn from_jwk(jwk: &Jwk) -> Option<Key> {
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let algorithm = match (&jwk.algorithm, &jwk.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::OctetKeyPair(key), None | Some(KeyAlgorithm::EdDSA))
            if key.curve == EllipticCurve::Ed25519 =>
        {
            Algorithm::EdDSA
        }
        (AlgorithmParameters::OctetKey(_), Some(KeyAlgorithm::HS256)) => Algorithm::HS256,
        _ => return None,
    };
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}
