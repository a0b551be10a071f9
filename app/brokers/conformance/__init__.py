"""The conformance suite: numbered cards that say when a broker's adapter is right (L3). For tests only.

Each card is a test and names the clause of the contract that it proves. The suite puts a door (`door.Door`) between the
adapter and a real service on this machine, counts what goes through it, and breaks answers there; so it needs to know
nothing of the broker's wire beyond what a `bench.Bench` tells. Two ways to run it:

* `pytest -p app.brokers.conformance.plugin --conform package.module:bench`, where `bench` is a context manager that
  starts the service and gives a `Bench`; it prints the cards with their clauses at the end; or
* in a test module of one's own: a fixture `bench` that gives the `Bench`, and `from ...conformance.suite import *`.

Nothing of the program imports this package, and so nothing but tests imports pytest.
"""
