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
    sample(&format!("{name}{{{label}=\"{value}\"}}"))
}

/// A sample, as the page names it; 0 if it is not there.
pub(crate) fn sample(name: &str) -> u64 {
    let page = PAGE.get().unwrap().render();
    let values = page.lines().filter_map(|line| line.strip_prefix(name));
    let mut values = values.filter_map(|value| value.strip_prefix(' '));
    values.next().map_or(0, |value| value.parse().unwrap())
}
