//! Health, metrics and the phone page over HTTP.

use std::{io, net::SocketAddr, sync::Arc};

use actors::Node;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::web;

/// What the pages are made from.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) node: Arc<Node>,
    pub(crate) metrics: PrometheusHandle,
}

/// Binds the address.
pub(crate) async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, pages: Pages) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(asset)
        .with_state(pages);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP ended");
    }
}

/// The process lives and its threads answer. Never depends on the bus: a restart would not heal it.
async fn livez(State(pages): State<Pages>) -> Response {
    if pages.node.is_alive().await {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "an arbiter does not answer\n",
        )
            .into_response()
    }
}

/// Whether new work should be sent here, and what is degraded.
async fn readyz(State(pages): State<Pages>) -> Response {
    let readiness = pages.node.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    pages.node.measure();
    crate::heap::measure();
    let text = pages.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn asset(uri: Uri) -> Response {
    match web::asset(uri.path()) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response(),
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    }
}
