# What R says about subjects.tsv. Regenerate: Rscript tests/golden/r/reference.R
# Needs r-base-core r-cran-psych r-cran-gparotation r-cran-apcluster r-cran-fpc r-cran-cluster
# r-cran-jsonlite (Debian's names). Each result stands in reference.json beside its call.

suppressPackageStartupMessages({
  library(psych)
  library(apcluster)
  library(fpc)
  library(cluster)
})
argument <- grep("^--file=", commandArgs(FALSE), value = TRUE)
folder <- dirname(sub("^--file=", "", argument))
subjects <- read.delim(file.path(folder, "subjects.tsv"), na.strings = "n/a")
n <- nrow(subjects)

# Evaluate, and keep the call as text.
said <- function(expression) {
  call <- paste(trimws(deparse(substitute(expression), width.cutoff = 500)), collapse = " ")
  list(call = jsonlite::unbox(call), value = expression)
}

# --- Principal components and Varimax ---------------------------------------------------------
# principal() correlates pairwise and imputes only for the scores; isthmus imputes medians first,
# and so does this.
phenotypes <- as.matrix(subjects[paste0("p", 0:7)])
for (column in colnames(phenotypes)) {
  known <- phenotypes[, column]
  phenotypes[is.na(known), column] <- median(known, na.rm = TRUE)
}
plain <- function(fit) {
  list(
    loadings = unname(unclass(fit$loadings)), weights = unname(unclass(fit$weights)),
    scores = unname(fit$scores)
  )
}
# stats::varimax stops where its criterion grows by less than eps of itself, 1e-5 unless told
# otherwise: short of the maximum. Both are kept; isthmus goes to the maximum.
components <- list(
  default = said(plain(principal(phenotypes, nfactors = 3, rotate = "varimax"))),
  converged = said(plain(principal(phenotypes, nfactors = 3, rotate = "varimax", eps = 1e-15))),
  raw = said(plain(principal(phenotypes, 3, rotate = "varimax", normalize = FALSE, eps = 1e-15))),
  eigenvalues = said(eigen(cor(phenotypes))$values)
)
# Harman (1976), table 2.3, of R's datasets: there the default stops half a degree short.
of_matrix <- function(fit) list(loadings = unname(unclass(fit$loadings)))
harman <- list(
  correlation = said(unname(Harman23.cor$cov)),
  unrotated = said(of_matrix(principal(Harman23.cor$cov, 2, rotate = "none"))),
  default = said(of_matrix(principal(Harman23.cor$cov, 2, rotate = "varimax"))),
  converged = said(of_matrix(principal(Harman23.cor$cov, 2, rotate = "varimax", eps = 1e-15)))
)

# --- Association -------------------------------------------------------------------------------
numeric <- c(paste0("p", 0:7), "rating")
tested <- function(test) list(statistic = unname(test$statistic), p = test$p.value)
kruskal <- sapply(numeric, function(column) {
  said(tested(kruskal.test(subjects[[column]], subjects$blob)))
}, simplify = FALSE)
# The residuals' ranks; rounded as isthmus does, so that what is equal on paper is tied.
residual <- function(column) {
  fit <- lm(scale(subjects[[column]]) ~ age + sex, subjects, na.action = na.exclude)
  round(residuals(fit), 9)
}
given_confounds <- sapply(c("p0", "p3", "p4"), function(column) {
  said(tested(kruskal.test(residual(column), subjects$blob)))
}, simplify = FALSE)
table_of_hands <- table(subjects$hand, subjects$blob)
cramer <- function(counts) {
  statistic <- suppressWarnings(chisq.test(counts, correct = FALSE)$statistic)
  sqrt(unname(statistic) / (sum(counts) * (min(dim(counts)) - 1)))
}
category <- list(
  test = said(tested(suppressWarnings(chisq.test(table_of_hands, correct = FALSE)))),
  cramers_v = said(cramer(table_of_hands))
)
p_values <- sapply(kruskal, function(entry) entry$value$p)
correction <- list(
  BH = said(p.adjust(p_values, "BH")),
  BY = said(p.adjust(p_values, "BY")),
  holm = said(p.adjust(p_values, "holm"))
)

# --- Strata ------------------------------------------------------------------------------------
# Variance 1 with n in the denominator, where scale() has n - 1.
points <- scale(as.matrix(subjects[paste0("z", 0:5)])) * sqrt(n / (n - 1))
rownames(points) <- subjects$participant_id
distances <- dist(points)
similarity <- negDistMat(points, r = 2)
clusters <- function(found) {
  list(
    labels = unname(found@idx) - 1, exemplars = unname(found@exemplars) - 1,
    preference = found@p
  )
}
# apcluster() adds noise of the size of rounding to the similarities (nonoise = FALSE).
strata <- list(
  median = said(clusters(apcluster(similarity, q = 0.5, convits = 30, seed = 1))),
  minimum = said(clusters(apcluster(similarity, q = 0, convits = 30, seed = 1))),
  number = said(clusters(apcluster(similarity, p = -60, convits = 30, seed = 1))),
  quiet = said(clusters(apcluster(similarity, p = -60, convits = 30, nonoise = TRUE))),
  ward = said(unname(cutree(hclust(distances, "ward.D2"), 4)) - 1)
)
of_number <- match(strata$number$value$labels, unique(strata$number$value$labels))
of_ward <- strata$ward$value + 1
agreement <- list(
  silhouette = said(mean(silhouette(of_number, distances)[, "sil_width"])),
  ari = said(cluster.stats(distances, of_number, of_ward, compareonly = TRUE)$corrected.rand)
)

# --- Stability ---------------------------------------------------------------------------------
# What clusterboot() hands to its clusterer names the subjects, so each draw can be written down: a
# letter for the stratum of each subject of the table, a point where it was not drawn.
# The preference falls with the number of subjects, or draws would have fewer strata than the whole.
drawn <- character()
PREFERENCE <- -60
recorded <- function(distances) {
  between <- as.matrix(distances)
  m <- nrow(between)
  found <- apcluster(-between^2, p = PREFERENCE * m / n, convits = 30)
  labels <- match(found@idx, sort(unique(found@idx)))
  letter <- rep(".", n)
  letter[match(rownames(between), subjects$participant_id)] <- LETTERS[labels]
  drawn <<- c(drawn, paste(letter, collapse = ""))
  list(
    result = found, nc = max(labels), partition = labels,
    clusterlist = lapply(seq_len(max(labels)), function(k) labels == k),
    clustermethod = "apcluster"
  )
}
stability <- function(method, per_draw) {
  drawn <<- character()
  boot <- clusterboot(
    distances, B = 40, bootmethod = method, clustermethod = recorded, count = FALSE, seed = 7
  )
  list(
    whole = drawn[1], draws = drawn[-1], jaccard = boot[[per_draw]],
    mean = boot[[sub("result", "mean", per_draw)]]
  )
}
resampling <- list(
  boot = said(stability("boot", "bootresult")),
  subset = said(stability("subset", "subsetresult"))
)

packages <- c("psych", "apcluster", "fpc", "cluster", "jsonlite")
versions <- lapply(packages, function(name) jsonlite::unbox(as.character(packageVersion(name))))
result <- list(
  versions = c(list(R = jsonlite::unbox(R.version.string)), setNames(versions, packages)),
  components = components, harman = harman,
  kruskal = kruskal, kruskal_given_confounds = given_confounds,
  category = category, correction = correction, strata = strata, agreement = agreement,
  resampling = resampling
)
json <- jsonlite::toJSON(result, digits = NA, pretty = 1, na = "null")
# A number a line is no way to read a matrix: rows of numbers go on one line.
json <- gsub("(?<=[0-9\\[]|[0-9],)\\s+(?=[-0-9\\]])", " ", json, perl = TRUE)
writeLines(json, file.path(folder, "reference.json"))
for (name in names(result$versions)) cat(name, result$versions[[name]], "\n")
