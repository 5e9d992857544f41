"""The evidence on a trial: gathered once, from its folder, its study and its cohort."""
