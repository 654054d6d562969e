"""Operations of the `tile` dialect, a file per family; `npucc.dialects.tile` collects them."""
