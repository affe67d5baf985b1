//! TLS in front of a server that speaks none.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Listens on a port, for localhost, and hands everything on to `place`. The certificate is written to a
/// file; nobody trusts it who does not trust that file.
pub fn front(place: &str, ca_file: &Path) -> u16 {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(ca_file, certified.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let (config, place) = (Arc::new(config), place.to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, config, place) = (stream.unwrap(), Arc::clone(&config), place.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let outer = StreamOwned::new(connection, stream);
                hand_on(outer, TcpStream::connect(place).unwrap());
            });
        }
    });
    port
}

/// Both ways, in turns, until one side ends.
fn hand_on(mut outer: StreamOwned<ServerConnection, TcpStream>, mut inner: TcpStream) {
    let turn = Some(Duration::from_millis(5));
    outer.sock.set_read_timeout(turn).unwrap();
    inner.set_read_timeout(turn).unwrap();
    let mut block = vec![0; 1 << 16];
    loop {
        match outer.read(&mut block) {
            Ok(0) => return,
            Ok(read) if inner.write_all(&block[..read]).is_err() => return,
            Ok(_) => {}
            Err(error) if is_a_turn(&error) => {}
            Err(_) => return,
        }
        match inner.read(&mut block) {
            Ok(0) => {
                outer.conn.send_close_notify();
                let _ = outer.flush();
                return;
            }
            Ok(read) if outer.write_all(&block[..read]).is_err() => return,
            Ok(_) => {}
            Err(error) if is_a_turn(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_a_turn(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
