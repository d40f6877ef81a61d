//! The tasks of a replica: they end when they are told to, and none ends unnoticed before.
//!
//! A task that panics would leave silence: writes that nobody brings to the other side, a rollback that nobody hears of,
//! while the replica looks healthy. It is begun anew instead, told and counted. It does not take the replica down: what
//! made it fail may be a row that would fail all replicas alike.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::TASKS_FAILED_TOTAL;

/// Pause before a task that has failed is begun anew: one that fails at once must not keep a core busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Tasks that are stopped together.
#[derive(Debug, Default, Clone)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs a task until all are stopped. It is handed the token that says so. When it panics, or ends before, it is
    /// begun anew; `name` stands in the log and in `strangler_tasks_failed_total`.
    pub fn keep<F>(&self, name: &'static str, task: impl Fn(CancellationToken) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, task) = (self.stop.clone(), Arc::new(task));
        counter!(TASKS_FAILED_TOTAL, "task" => name).increment(0);
        self.tracker.spawn(async move {
            loop {
                let (begun, token) = (Arc::clone(&task), stop.clone());
                // In there, since what makes the task may panic as well.
                let ended = tokio::spawn(async move { begun(token).await }).await;
                if stop.is_cancelled() && ended.is_ok() {
                    return;
                }
                failed(name, ended.as_ref().err());
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Runs a task that is through some day, or ends with what it serves. When it panics, that is told and counted.
    pub fn once(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        counter!(TASKS_FAILED_TOTAL, "task" => name).increment(0);
        let running = tokio::spawn(task);
        self.tracker.spawn(async move {
            if let Err(error) = running.await {
                failed(name, Some(&error));
            }
        });
    }

    /// Runs a task on a thread and a runtime of its own, so that it goes on while all other threads are busy. It is
    /// handed the token that says when to end.
    pub fn apart<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()>,
    {
        counter!(TASKS_FAILED_TOTAL, "task" => name).increment(0);
        let (stop, token) = (self.stop.clone(), self.stop.clone());
        let (ended, end) = tokio::sync::oneshot::channel();
        let begun = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(task(token));
            // Nobody listens when all is over.
            let _ = ended.send(()).is_ok();
            std::io::Result::Ok(())
        });
        self.tracker.spawn(async move {
            let ended = end.await.is_ok();
            if begun.is_err() || !ended || !stop.is_cancelled() {
                failed(name, None);
            }
        });
    }

    /// Becomes cancelled when the tasks shall end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Stops all, and returns when all have ended.
    pub async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn failed(name: &'static str, error: Option<&JoinError>) {
    let how = if error.is_some_and(JoinError::is_panic) { "has panicked" } else { "has ended before it was told to" };
    tracing::error!(task = name, "the task `{name}` {how}: this is a fault of strangler, please report it");
    counter!(TASKS_FAILED_TOTAL, "task" => name).increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_or_ends_is_begun_anew_and_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (rendered, _installed) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
        let (tasks, begun) = (Tasks::default(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&begun);
        tasks.keep("relay", move |stop| {
            let time = counted.fetch_add(1, Ordering::SeqCst);
            assert_ne!(time, 0, "it cannot even be made");
            async move {
                match time {
                    1 => panic!("a row that nobody can read"),
                    2 => {}
                    _ => stop.cancelled().await,
                }
            }
        });
        tasks.once("bookkeeping", async {});
        tasks.once("shadow", async { panic!("once") });

        tokio::time::sleep(PAUSE * 5).await;

        assert_eq!(begun.load(Ordering::SeqCst), 4);
        let metrics = rendered.render();
        for line in ["{task=\"relay\"} 3", "{task=\"bookkeeping\"} 0", "{task=\"shadow\"} 1"] {
            assert!(metrics.contains(&format!("strangler_tasks_failed_total{line}")), "{line}: {metrics}");
        }
        tasks.end().await;
        assert_eq!(begun.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_task_apart_goes_on_while_all_other_threads_are_busy() {
        let tasks = Tasks::default();
        let (asked, question) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<u8>>();
        tasks.apart("admin", |stop| async move {
            tokio::task::spawn_blocking(move || question.into_iter().for_each(|answer| answer.send(7).unwrap()));
            stop.cancelled().await;
        });
        // This test's runtime has one thread, which does nothing but wait here.
        let (answer, answered) = std::sync::mpsc::channel();
        asked.send(answer).unwrap();
        assert_eq!(answered.recv().unwrap(), 7);
        drop(asked);
        tasks.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_while_all_are_stopped_holds_nobody_up() {
        let tasks = Tasks::default();
        tasks.keep("relay", |stop| async move {
            stop.cancelled().await;
            panic!("at the end");
        });
        tasks.keep("flags", |_| async { panic!("always") });
        tokio::time::sleep(PAUSE / 2).await;
        tokio::time::timeout(PAUSE * 5, tasks.end()).await.unwrap();
    }
}
