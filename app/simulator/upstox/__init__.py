"""Upstox's wire over the shared exchange: OAuth, REST v2 and v3, protobuf market feed, portfolio stream (reference B).

The same book of orders and the same market as Kite's wire. Several clients of one account see each other's orders.
"""
