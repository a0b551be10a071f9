"""One folder per broker behind one interface. Brokers never import each other; only `registry` names them."""
