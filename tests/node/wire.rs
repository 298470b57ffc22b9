//! One socket of a peer: whole SIP messages in and out, over any transport.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sip::{Item, Limits, Message, Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message as Frame, client::IntoClientRequest, handshake::client::Request, http::HeaderValue,
    },
};

/// Far more than anything here takes on a busy machine, and no more than a test may hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Any byte stream.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// One socket.
pub(crate) struct Wire {
    kind: Kind,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// As Via and the `transport` parameter say it.
    pub(crate) transport: &'static str,
}

enum Kind {
    Udp(UdpSocket),
    Stream(Box<dyn Pipe>, Box<Stream>),
    Web(Box<WebSocketStream<Box<dyn Pipe>>>),
}

/// What arrives.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Box<Message>),
    /// Bytes that keep a binding of a NAT alive.
    KeepAlive,
    /// The end, with the code of a WebSocket's close frame.
    Closed(Option<u16>),
}

impl Wire {
    pub(crate) async fn udp(remote: SocketAddr) -> Self {
        let any = if remote.is_ipv6() {
            "[::1]:0"
        } else {
            "127.0.0.1:0"
        };
        let socket = UdpSocket::bind(any).await.unwrap();
        let local = socket.local_addr().unwrap();
        Self {
            kind: Kind::Udp(socket),
            local,
            remote,
            transport: "udp",
        }
    }

    pub(crate) async fn tcp(remote: SocketAddr) -> Self {
        Self::accepted(TcpStream::connect(remote).await.unwrap())
    }

    /// A connection that is there already.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        let ends = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        stream.set_nodelay(true).unwrap();
        Self::stream(Box::new(stream), ends, "tcp")
    }

    /// A byte stream between these two ends.
    pub(crate) fn stream(
        stream: Box<dyn Pipe>,
        (local, remote): (SocketAddr, SocketAddr),
        transport: &'static str,
    ) -> Self {
        Self {
            kind: Kind::Stream(stream, Box::new(Stream::new(Limits::default()))),
            local,
            remote,
            transport,
        }
    }

    pub(crate) async fn tls(remote: SocketAddr) -> Self {
        let shaken = shake(remote, tls(), "localhost").await.unwrap();
        Self::secured(shaken)
    }

    /// A TLS connection that is there already.
    pub(crate) fn secured(stream: TlsStream<TcpStream>) -> Self {
        let (tcp, _) = stream.get_ref();
        let ends = (tcp.local_addr().unwrap(), tcp.peer_addr().unwrap());
        Self::stream(Box::new(stream), ends, "tls")
    }

    pub(crate) async fn ws(remote: SocketAddr) -> Self {
        let stream = TcpStream::connect(remote).await.unwrap();
        let local = stream.local_addr().unwrap();
        Self::web(Box::new(stream), local, remote, "ws").await
    }

    pub(crate) async fn wss(remote: SocketAddr) -> Self {
        let stream = shake(remote, tls(), "localhost").await.unwrap();
        let local = stream.get_ref().0.local_addr().unwrap();
        Self::web(Box::new(stream), local, remote, "wss").await
    }

    async fn web(
        stream: Box<dyn Pipe>,
        local: SocketAddr,
        remote: SocketAddr,
        transport: &'static str,
    ) -> Self {
        let request = Self::handshake(remote);
        let (socket, _) = client_async(request, stream).await.unwrap();
        Self {
            kind: Kind::Web(Box::new(socket)),
            local,
            remote,
            transport,
        }
    }

    /// The request that opens a WebSocket.
    pub(crate) fn handshake(remote: SocketAddr) -> Request {
        let mut request = format!("ws://{remote}/ws").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
        request
    }

    /// Sends on a connection that may be closed already: whether it was not.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.kind {
            Kind::Stream(stream, _) => stream.write_all(bytes).await.is_ok(),
            Kind::Udp(_) | Kind::Web(_) => panic!("for TCP only"),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        match &mut self.kind {
            Kind::Udp(socket) => {
                socket.send_to(bytes, self.remote).await.unwrap();
            }
            Kind::Stream(stream, _) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
            Kind::Web(socket) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                // What is refused half way is heard of by its answer.
                socket.send(Frame::text(text)).await.ok();
            }
        }
    }

    /// What comes next.
    pub(crate) async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.next())
            .await
            .expect("something comes")
    }

    async fn next(&mut self) -> Heard {
        let limits = Limits::default();
        loop {
            match &mut self.kind {
                Kind::Udp(socket) => {
                    let mut buffer = vec![0; 65_535];
                    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                    let bytes = Bytes::copy_from_slice(&buffer[..length]);
                    let message = Message::parse_datagram(bytes, &limits).unwrap();
                    return Heard::Message(Box::new(message.with_source(from)));
                }
                Kind::Stream(stream, framing) => {
                    match framing.next().unwrap() {
                        Some(Item::Message(message)) => return Heard::Message(Box::new(message)),
                        Some(Item::Ping | Item::Pong) => return Heard::KeepAlive,
                        None => {}
                    }
                    let mut buffer = vec![0; 65_535];
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return Heard::Closed(None),
                        Ok(length) => framing.push(&buffer[..length]),
                    }
                }
                Kind::Web(socket) => {
                    let bytes = match socket.next().await {
                        Some(Ok(Frame::Text(text))) => Bytes::from(text),
                        Some(Ok(Frame::Binary(bytes))) => bytes,
                        Some(Ok(Frame::Close(frame))) => {
                            return Heard::Closed(frame.map(|frame| frame.code.into()));
                        }
                        None | Some(Err(_)) => return Heard::Closed(None),
                        Some(Ok(_)) => continue,
                    };
                    if bytes.iter().all(|byte| b"\r\n".contains(byte)) {
                        return Heard::KeepAlive;
                    }
                    let message = Message::parse_frame(bytes, &limits).unwrap();
                    return Heard::Message(Box::new(message));
                }
            }
        }
    }

    /// Says that nothing more comes, and waits until the other side has said so, too.
    pub(crate) async fn finish(mut self) {
        if let Kind::Stream(stream, _) = &mut self.kind {
            stream.shutdown().await.unwrap();
        }
        while !matches!(self.hear().await, Heard::Closed(_)) {}
    }

    /// Hangs up without a word.
    pub(crate) fn drop_connection(self) {}
}

/// Connects over TLS, asking for the server of this name.
pub(crate) async fn shake(
    remote: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(remote).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// A client that takes any certificate, as a person who clicks it away.
fn tls() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
