"""The programs that run a model on a phone, behind one small interface."""
