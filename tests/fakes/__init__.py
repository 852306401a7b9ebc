"""Counterparts that play other parties: official clients and servers talk to them over real sockets."""
