"""The paper exchange: a broker on 127.0.0.1 in a process of its own. Shares no code with brokers or charges."""
