//! What is asked of a server, by name: how long the answer took, and what it was.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

/// Time and outcome of each question.
pub(crate) struct Asked {
    seconds: HistogramVec,
    outcomes: IntCounterVec,
}

impl Asked {
    /// Counted by question and outcome; each of these at 0 from the start.
    pub(crate) fn new<'a>(
        seconds: HistogramVec,
        counted: IntCounterVec,
        questions: &[&'a str],
        outcomes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        for outcome in outcomes {
            for question in questions {
                let _ = counted.with_label_values(&[*question, outcome]);
            }
        }
        Self {
            seconds,
            outcomes: counted,
        }
    }

    /// Counts one.
    pub(crate) fn answered(&self, question: &str, outcome: &str, took: Duration) {
        self.seconds
            .with_label_values(&[question])
            .observe(took.as_secs_f64());
        self.outcomes.with_label_values(&[question, outcome]).inc();
    }
}
