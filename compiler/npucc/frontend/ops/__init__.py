"""Importer functions, a file per op family; importing a module registers its ops."""
