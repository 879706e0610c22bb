//! Something that is done once for all who wait for it.

use tokio::sync::watch;

use crate::wire::fetch::FetchError;

/// What is under way, to those who wait for it. It does not depend on them.
#[derive(Clone)]
pub(crate) struct UnderWay<T>(watch::Receiver<Option<T>>);

/// What is under way, to the one who does it.
pub(crate) struct Conclusion<T>(watch::Sender<Option<T>>);

/// Both ends of something that begins.
pub(crate) fn under_way<T>() -> (Conclusion<T>, UnderWay<T>) {
    let (conclusion, under_way) = watch::channel(None);
    (Conclusion(conclusion), UnderWay(under_way))
}

impl<T> Conclusion<T> {
    /// Tells all who wait what came of it.
    pub(crate) fn reach(self, outcome: T) {
        // Nobody may be waiting.
        self.0.send_replace(Some(outcome));
    }
}

impl<T: Clone> UnderWay<T> {
    /// Whether it ended without an outcome: it panicked, or could not begin.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.borrow().is_none() && self.0.has_changed().is_err()
    }

    /// Waits for what comes of it.
    ///
    /// # Errors
    /// If it [is lost](Self::is_lost).
    pub(crate) async fn outcome(mut self) -> Result<T, FetchError> {
        match self.0.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) | Err(_) => Err(FetchError::other("the exchange panicked")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    #[test]
    fn all_who_wait_get_the_outcome_early_and_late() {
        let (conclusion, waiting) = under_way();
        let another = waiting.clone();
        assert!(!waiting.is_lost());
        conclusion.reach(7);
        assert!(!another.is_lost());
        assert_eq!(block_on(waiting.outcome()).unwrap(), 7);
        assert_eq!(block_on(another.outcome()).unwrap(), 7);
    }

    #[test]
    fn what_ended_without_an_outcome_is_lost() {
        let (conclusion, waiting) = under_way::<u8>();
        drop(conclusion);
        assert!(waiting.is_lost());
        assert!(block_on(waiting.outcome()).is_err());
    }
}
