//! A download from a server whose certificate a private authority has signed.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server on this machine that answers every request with status 404, and the certificate of its authority (PEM).
fn serve() -> (String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority.clone(), KeyPair::generate().expect("a key"));
    let root = authority.self_signed(issuer.key()).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["localhost".to_string()]).expect("a name");
    let own = own.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let settings = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)
        .expect("a key that fits");
    let settings = Arc::new(settings);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(settings.clone()).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = [0; 1024];
            if stream.read(&mut request).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        }
    });
    (address, root)
}

fn download(dir: &Path, mirror: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    command.current_dir(dir).args(["data", "download", "mnist", "--quiet", "--data-dir", "data", "--mirror", mirror]);
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").envs(variables.iter().copied());
    String::from_utf8_lossy(&command.output().expect("the binary runs").stderr).into_owned()
}

#[test]
fn a_private_authority_is_trusted_if_the_environment_names_it() {
    let (address, root) = serve();
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("root.pem"), &root).expect("a file");
    let refused = download(dir.path(), &address, &[]);
    assert!(refused.contains("UnknownIssuer") && refused.contains("SSL_CERT_FILE"), "{refused}");
    let trusted = download(dir.path(), &address, &[("SSL_CERT_FILE", "root.pem")]);
    assert!(trusted.contains("status 404"), "{trusted}");
    std::fs::write(dir.path().join("root.pem"), "no certificate").expect("a file");
    let wrong = download(dir.path(), &address, &[("SSL_CERT_FILE", "root.pem")]);
    assert!(wrong.contains("SSL_CERT_FILE is root.pem"), "{wrong}");
}
