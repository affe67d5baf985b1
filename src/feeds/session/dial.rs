//! The way to a websocket: directly, or through a proxy.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    connect_async_tls_with_config,
};

use crate::net::proxy::Proxy;
use crate::printable::excerpt;

/// A websocket, encrypted or not.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Largest head of a proxy's answer.
const HEAD: usize = 16 << 10;

/// Connects, through `proxy` if there is one, and shakes hands.
pub(super) async fn dial(
    request: Request,
    config: WebSocketConfig,
    proxy: Option<&Proxy>,
    connector: Option<Connector>,
) -> Result<Socket, WsError> {
    let (socket, _response) = match proxy {
        None => connect_async_tls_with_config(request, Some(config), true, connector).await?,
        Some(proxy) => {
            let stream = tunnel(&request, proxy).await?;
            client_async_tls_with_config(request, stream, Some(config), connector).await?
        }
    };
    Ok(socket)
}

/// A connection to the request's host that a proxy makes.
async fn tunnel(request: &Request, proxy: &Proxy) -> std::io::Result<TcpStream> {
    let failed = |what: String| std::io::Error::other(format!("{proxy}: {what}"));
    let uri = request.uri();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 });
    let target = format!("{}:{port}", uri.host().unwrap_or_default());
    let connected = TcpStream::connect(proxy.address()).await;
    let mut stream = connected.map_err(|error| failed(error.to_string()))?;
    stream.set_nodelay(true)?;
    stream.write_all(proxy.connect_request(&target).as_bytes()).await?;
    // Byte by byte: what follows the head belongs to the venue.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD {
            return Err(failed("its answer has no end".to_owned()));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(failed(format!("no answer to CONNECT {target}: {error}"))),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let first = head.lines().next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(stream),
        _ => Err(failed(format!("CONNECT {target} was answered by \"{}\"", excerpt(first, 300)))),
    }
}
