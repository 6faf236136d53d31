//! Interim responses (1xx, RFC 9110 section 15.2) on their way to a client, before the final one.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{Response, StatusCode};

use crate::limits;

/// Those of one request. Nothing is held until somebody asks for a [`Sink`].
#[derive(Default)]
pub struct Interim(OnceCell<Sink>);

/// Where they are put.
#[derive(Clone, Default)]
pub struct Sink(Rc<RefCell<Queue>>);

#[derive(Default)]
struct Queue {
    heads: VecDeque<Response<()>>,
    /// All that there were.
    seen: u32,
    waker: Option<Waker>,
    /// 100 was among them.
    continued: bool,
    uploader: Option<Waker>,
}

/// What is next of an answer.
pub enum Step<T> {
    /// An interim response.
    Interim(Response<()>),
    /// The final one. There may be interim ones that come before it, see [`Interim::take`].
    Final(T),
}

impl Interim {
    /// Where to put them.
    pub fn sink(&self) -> Sink {
        self.0.get_or_init(Sink::default).clone()
    }

    /// Puts one behind the others. Beyond [`limits::MAX_INTERIM_RESPONSES`] they are thrown away,
    /// see [`Self::is_flooded`]; clients need none of them.
    pub fn push(&self, head: Response<()>) {
        self.sink().push(head);
    }

    /// Whether there were more than any server has a reason for.
    pub fn is_flooded(&self) -> bool {
        let seen = self.0.get().map_or(0, |sink| sink.0.borrow().seen);
        seen > limits::MAX_INTERIM_RESPONSES
    }

    /// The next of those that are there.
    pub fn take(&self) -> Option<Response<()>> {
        self.0.get()?.0.borrow_mut().heads.pop_front()
    }

    /// What is next of `answer`, which is not polled again after the final one.
    pub async fn next<F: Future>(&self, mut answer: Pin<&mut F>) -> Step<F::Output> {
        poll_fn(|cx| {
            if let Some(head) = self.take() {
                return Poll::Ready(Step::Interim(head));
            }
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Step::Final(answer));
            }
            // The sink may have come to be just now.
            self.poll_take(cx).map(Step::Interim)
        })
        .await
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Response<()>> {
        let Some(sink) = self.0.get() else { return Poll::Pending };
        let mut queue = sink.0.borrow_mut();
        if let Some(head) = queue.heads.pop_front() {
            return Poll::Ready(head);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink {
    /// [`Interim::push`].
    pub fn push(&self, head: Response<()>) {
        let queue = &mut *self.0.borrow_mut();
        queue.seen = queue.seen.saturating_add(1);
        queue.continued |= head.status() == StatusCode::CONTINUE;
        if queue.seen <= limits::MAX_INTERIM_RESPONSES {
            queue.heads.push_back(head);
        }
        let uploader = if queue.continued { queue.uploader.take() } else { None };
        queue.waker.take().into_iter().chain(uploader).for_each(Waker::wake);
    }

    /// Ready when 100 was among them: whoever waits for it may go on (RFC 9110 section 15.2.1).
    pub fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.borrow_mut();
        if queue.continued {
            return Poll::Ready(());
        }
        queue.uploader = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use futures_util::future::{Either, select};
    use tokio::task::yield_now;

    use super::*;

    fn interim(status: u16) -> Response<()> {
        Response::builder().status(status).body(()).expect("a head")
    }

    #[test]
    fn interim_responses_come_before_the_final_one_in_their_order() {
        let all = Interim::default();
        let sink = all.sink();
        let mut steps = 0;
        let mut answer = pin!(poll_fn(|cx| {
            steps += 1;
            if steps == 1 {
                sink.push(interim(102));
                sink.push(interim(103));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(200)
        }));
        let mut seen = Vec::new();
        loop {
            match all.next(answer.as_mut()).now_or_never().expect("all is there") {
                Step::Interim(head) => seen.push(head.status().as_u16()),
                Step::Final(status) => {
                    seen.push(status);
                    break;
                }
            }
        }
        assert_eq!(seen, [102, 103, 200]);
    }

    #[test]
    fn no_more_are_held_than_any_server_has_a_reason_for() {
        let all = Interim::default();
        let sink = all.sink();
        for _ in 0..limits::MAX_INTERIM_RESPONSES {
            sink.push(interim(102));
        }
        assert!(!all.is_flooded());
        sink.push(interim(102));
        assert!(all.is_flooded());
        let held = std::iter::from_fn(|| all.take()).count();
        assert_eq!(held as u32, limits::MAX_INTERIM_RESPONSES);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_one_that_comes_from_elsewhere() {
        let all = Interim::default();
        let sink = all.sink();
        let elsewhere = async {
            yield_now().await;
            sink.push(interim(103));
            pending().await
        };
        let (mut never, elsewhere) = (pin!(pending::<()>()), pin!(elsewhere));
        let next = pin!(all.next(never.as_mut()));
        let step: Either<_, (Infallible, _)> = select(next, elsewhere).await;
        let Either::Left((Step::Interim(head), _)) = step else { panic!("it is interim") };
        assert_eq!(head.status(), 103);
    }
}
