//! Who a token names: JWTs signed with HS256, RS256, ES256 or EdDSA, checked against a secret, a
//! PEM key or a JWKS file.

mod keys;
mod token;

pub use keys::{AuthSettings, KeyError, Keys};
pub use token::{Authority, Refused};
