//! Asking Postgres until it answers.

use service::lifecycle::chain;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use super::metrics::PushMetrics;
use crate::pipeline::backoff::{Backoff, Stopped};
use crate::pipeline::worker::is_about_data;

/// The answer to a question, asked again while Postgres is away. None: what is stored can't be read,
/// however often it is asked for (I11).
pub(super) async fn answer<T, F>(
    question: impl Fn() -> F,
    metrics: &PushMetrics,
    over: &CancellationToken,
) -> Result<Option<T>, Stopped>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::default();
    loop {
        let error = match question().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        if is_about_data(&error) {
            tracing::error!(error = chain(&error), "what a push needs can't be read");
            return Ok(None);
        }
        metrics.store_failures.inc();
        tracing::warn!(error = chain(&error), "pushes wait for Postgres");
        backoff.wait(over).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use service::metrics::Metrics;

    use super::*;

    /// I11: what passes is waited for, what can't be read is not.
    #[tokio::test]
    async fn i11_what_can_not_be_read_is_asked_for_once() {
        let (metrics, over) = (PushMetrics::new(&Metrics::new()), CancellationToken::new());
        let asked = Cell::new(0);
        let away = |times| {
            asked.set(asked.get() + 1);
            let answer = match asked.get() > times {
                true => Ok(()),
                false => Err(StoreError::Unavailable {
                    reason: "played".to_owned(),
                    source: None,
                }),
            };
            std::future::ready(answer)
        };
        assert_eq!(answer(|| away(3), &metrics, &over).await, Ok(Some(())));
        assert_eq!((asked.get(), metrics.store_failures.get()), (4, 3));
        let corrupt = || std::future::ready(Err::<(), _>(StoreError::Corrupt("played".to_owned())));
        assert_eq!(answer(corrupt, &metrics, &over).await, Ok(None));
        over.cancel();
        assert_eq!(answer(|| away(9), &metrics, &over).await, Err(Stopped));
    }
}
