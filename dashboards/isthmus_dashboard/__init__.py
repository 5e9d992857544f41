"""A live view of studies in the browser: it shows what the report computes, and adds nothing."""
