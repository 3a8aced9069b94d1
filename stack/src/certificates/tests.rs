//! Real handshakes, in memory, of who trusts whom.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use super::*;

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let read = CertificateDer::pem_file_iter(path).unwrap();
    read.map(Result::unwrap).collect()
}

fn key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).unwrap()
}

fn roots(path: &Path) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path) {
        roots.add(certificate).unwrap();
    }
    roots.into()
}

/// A client that trusts `ca`, asks for `host` and shows a certificate, and a server of the stack that judges it.
fn shake(
    its: &Certificates,
    ca: &Path,
    host: &str,
    (client, client_key): (&Path, &Path),
) -> Result<(), rustls::Error> {
    let judge = WebPkiClientVerifier::builder(roots(&its.ca())).build();
    let server = ServerConfig::builder()
        .with_client_cert_verifier(judge.unwrap())
        .with_single_cert(certificates(&its.server_store()), key(&its.server_store()))?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots(ca))
        .with_client_auth_cert(certificates(client), key(client_key))?;
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = Connection::from(ClientConnection::new(client.into(), host)?);
    let mut server = Connection::from(ServerConnection::new(server.into())?);
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    Ok(())
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// What tests of TLS rest on: the right ones are taken, and only they are.
#[test]
fn the_stacks_own_are_trusted_and_a_strangers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let its = Certificates::make(folder.path()).unwrap();
    let (client, stranger) = (
        (&*its.client(), &*its.client_key()),
        (&*its.stranger_client(), &*its.stranger_client_key()),
    );
    for host in HOSTS {
        shake(&its, &its.ca(), host, client).unwrap();
    }
    let wrong_ca = shake(&its, &its.stranger_ca(), "localhost", client);
    let wrong_host = shake(&its, &its.ca(), "example.org", client);
    let wrong_client = shake(&its, &its.ca(), "localhost", stranger);
    for (what, shaken) in [
        ("authority", wrong_ca),
        ("host", wrong_host),
        ("client", wrong_client),
    ] {
        let error = shaken.expect_err(what);
        assert!(
            matches!(error, rustls::Error::InvalidCertificate(_)),
            "{what}: {error}"
        );
    }
}

/// A folder that is used again keeps its authority: who trusts it goes on.
#[test]
fn what_is_there_is_kept_and_nobody_else_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let its = Certificates::make(folder.path()).unwrap();
    let before = fs::read(its.ca()).unwrap();
    let again = Certificates::make(folder.path()).unwrap();
    assert_eq!(before, fs::read(again.ca()).unwrap());
    let mode = fs::metadata(its.server_key()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
