"""What tests stand on: real servers started for one run and taken away after it."""
