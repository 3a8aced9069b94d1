//! A certificate authority of a stack's own and what it signs, so that its servers can speak TLS: PEM files beside the data.
//!
//! ```text
//! certificates/ca.pem             who signed the others: what clients trust, and servers that judge their clients
//! certificates/server.pem         for 127.0.0.1, ::1 and localhost; its key is server.key
//! certificates/server.store.pem   the key, the certificate and its authority in one file, as Kafka wants them
//! certificates/client.pem         CN=switchboard; its key is client.key
//! certificates/stranger-…         of an authority that signed none of the above: what must be refused
//! ```
//!
//! Keys are ECDSA P-256 in PKCS#8, for their owner's eyes only: Postgres refuses others.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::error::{Doing, Result};

/// Where a server of a stack is reached.
const HOSTS: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// Where the certificates of a stack are.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

/// A certificate and its key, in PEM.
struct Signed {
    certificate: String,
    key: String,
}

impl Certificates {
    /// Those of the stack with the folder `dir`, whoever started it.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            folder: dir.join("certificates"),
        }
    }

    /// Makes them (some milliseconds); keeps what is there.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn make(dir: &Path) -> Result<Self> {
        let made = Self::of(dir);
        // Written last: who finds it, finds all.
        if !made.ca().is_file() {
            fs::create_dir_all(&made.folder)
                .doing(|| format!("create {}", made.folder.display()))?;
            made.fill()?;
        }
        Ok(made)
    }

    fn fill(&self) -> Result<()> {
        let own = authority("switchboard's test authority")?;
        let stranger = authority("a stranger's authority")?;
        let server = signed(&own, "switchboard server", true)?;
        let store = format!("{}{}{}", server.key, server.certificate, own.pem());
        let client = signed(&own, "switchboard", false)?;
        let unknown = signed(&stranger, "switchboard", false)?;
        for (path, text) in [
            (self.server(), &server.certificate),
            (self.server_key(), &server.key),
            (self.server_store(), &store),
            (self.client(), &client.certificate),
            (self.client_key(), &client.key),
            (self.stranger_client(), &unknown.certificate),
            (self.stranger_client_key(), &unknown.key),
            (self.stranger_ca(), &stranger.pem()),
            (self.ca(), &own.pem()),
        ] {
            fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .doing(|| format!("restrict {}", path.display()))?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The authority: what clients are to trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The certificate of every server.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The key of [`server`](Self::server).
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// The servers' key, certificate and authority in one file.
    #[must_use]
    pub fn server_store(&self) -> PathBuf {
        self.file("server.store.pem")
    }

    /// A client's certificate, for servers that judge their clients.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.file("client.pem")
    }

    /// The key of [`client`](Self::client).
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    /// An authority that signed no server of this stack: who trusts only it must refuse them all.
    #[must_use]
    pub fn stranger_ca(&self) -> PathBuf {
        self.file("stranger-ca.pem")
    }

    /// A client's certificate that servers must refuse.
    #[must_use]
    pub fn stranger_client(&self) -> PathBuf {
        self.file("stranger-client.pem")
    }

    /// The key of [`stranger_client`](Self::stranger_client).
    #[must_use]
    pub fn stranger_client_key(&self) -> PathBuf {
        self.file("stranger-client.key")
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let make = || {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate()?)
    };
    make()
        .map_err(io::Error::other)
        .doing(|| format!("make {name}"))
}

fn signed(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    server: bool,
) -> Result<Signed> {
    let make = || {
        let hosts: &[&str] = if server { &HOSTS } else { &[] };
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Brokers are clients of each other, too.
        params.extended_key_usages = if server {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        } else {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?.pem();
        Ok(Signed {
            certificate,
            key: key.serialize_pem(),
        })
    };
    make()
        .map_err(|error: rcgen::Error| io::Error::other(error))
        .doing(|| format!("sign a certificate for {name}"))
}

#[cfg(test)]
mod tests;
