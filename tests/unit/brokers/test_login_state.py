from __future__ import annotations

import pytest

from app.brokers.login_state import LoginAttempts
from app.domain.errors import LoginFailed
from app.domain.ids import AccountId

A, B = AccountId("zerodha-AB1234"), AccountId("zerodha-CD5678")
HERE = "http://127.0.0.1:8123/done"


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def attempts(hands: Hands) -> LoginAttempts:
    return LoginAttempts(hands)


def redirect(state: str, *, status: str = "success", ticket: str = "tok", where: str = HERE) -> str:
    return f"{where}?action=login&type=login&status={status}&request_token={ticket}&state={state}"


def test_a_good_redirect_gives_its_token(attempts: LoginAttempts) -> None:
    attempt = attempts.begin(A, HERE)
    assert len(attempt.state) >= 32
    assert attempt.state not in repr(attempt)
    assert attempts.check(A, redirect(attempt.state)) == "tok"


def test_states_are_fresh(attempts: LoginAttempts) -> None:
    assert len({attempts.begin(A, HERE).state for _ in range(50)}) == 50


def refused(attempts: LoginAttempts, url: str, words: str, account: AccountId = A) -> None:
    with pytest.raises(LoginFailed, match=words):
        attempts.check(account, url)


def test_every_failure_has_words_of_its_own(attempts: LoginAttempts, hands: Hands) -> None:
    state = attempts.begin(A, HERE).state
    refused(attempts, redirect("", where=HERE), "without the mark")
    refused(attempts, redirect("somebody-elses"), "not ours")
    refused(attempts, redirect(state, where="http://127.0.0.1:8124/done"), "another address")
    refused(attempts, redirect(state, where="https://evil.example/done"), "another address")
    assert attempts.check(A, redirect(state)) == "tok"  # none of these used it up
    refused(attempts, redirect(state), "used before")
    refused(attempts, redirect(attempts.begin(A, HERE).state, status="cancelled"), "cancelled at the broker")
    refused(attempts, f"{HERE}?status=error", "cancelled at the broker")
    refused(attempts, redirect(attempts.begin(A, HERE).state, ticket=""), "without a request token")
    late = attempts.begin(A, HERE).state
    hands.now += 600.1
    refused(attempts, redirect(late), "ten minutes")
    refused(attempts, redirect(late), "used before")


def test_ten_minutes_are_still_in_time(attempts: LoginAttempts, hands: Hands) -> None:
    state = attempts.begin(A, HERE).state
    hands.now += 600.0
    assert attempts.check(A, redirect(state)) == "tok"


def test_a_failed_attempt_is_used_up(attempts: LoginAttempts) -> None:
    state = attempts.begin(A, HERE).state
    refused(attempts, redirect(state, status="error"), "cancelled at the broker")
    refused(attempts, redirect(state), "used before")


def test_a_newer_page_or_a_cancel_ends_the_older_one(attempts: LoginAttempts) -> None:
    old = attempts.begin(A, HERE).state
    new = attempts.begin(A, HERE).state
    refused(attempts, redirect(old), "replaced by a newer")
    attempts.cancel(A)
    refused(attempts, redirect(new), "replaced by a newer")


def test_a_state_works_for_its_own_account_only(attempts: LoginAttempts) -> None:
    state = attempts.begin(A, HERE).state
    attempts.begin(B, HERE)
    refused(attempts, redirect(state), "not ours", account=B)
    assert attempts.check(A, redirect(state)) == "tok"


def test_a_doubled_parameter_is_refused(attempts: LoginAttempts) -> None:
    state = attempts.begin(A, HERE).state
    refused(attempts, redirect(state) + "&request_token=other", "twice")


def test_an_address_that_nobody_registered_here_is_proved_by_its_mark(attempts: LoginAttempts) -> None:
    state = attempts.begin(A, "").state
    refused(attempts, redirect("somebody-elses", where="https://my.example/kite"), "not ours")
    assert attempts.check(A, redirect(state, where="https://my.example/kite")) == "tok"
