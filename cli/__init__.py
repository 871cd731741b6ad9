"""The blazeport command."""
