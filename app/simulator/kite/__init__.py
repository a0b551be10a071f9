"""Kite Connect's wire: login, REST and binary ticker over the shared exchange."""
