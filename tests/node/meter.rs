//! The counters of this process, which all nodes of all tests share: what a test asserts of one, no
//! other test may make it count.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static PAGE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Counts from now on.
pub(crate) fn start() {
    PAGE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        metrics::set_global_recorder(recorder).unwrap();
        page
    });
}

/// What a counter with one label has come to.
pub(crate) fn count(name: &str, label: &str, value: &str) -> u64 {
    let page = PAGE.get().unwrap().render();
    let line = format!("{name}{{{label}=\"{value}\"}} ");
    let counted = page.lines().find_map(|text| text.strip_prefix(&line));
    counted.map_or(0, |count| count.parse().unwrap())
}
